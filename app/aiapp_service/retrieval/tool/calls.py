"""What the model has looked for, and what was found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiapp_service.retrieval.index import Hit

# In the delta of a chunk: so many searches have been run. For a face that tells of them.
MARK = "file_search_calls"


@dataclass(frozen=True)
class SearchCall:
    """One call of the tool. A search that failed has no hits, and the model was told."""

    queries: Sequence[str]
    hits: "Sequence[Hit]" = field(default=())
    failed: bool = False

    def results(self) -> list[dict[str, Any]]:
        """The hits as a response has them; `position` is ours."""
        return [
            {
                "file_id": hit.file,
                "filename": hit.filename,
                "score": round(hit.score, 6),
                "attributes": hit.attributes,
                "text": hit.text,
                "position": {"start": hit.start, "end": hit.end, "page": hit.page},
            }
            for hit in self.hits
        ]
