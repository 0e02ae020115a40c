"""`ranking_options` and `max_num_results`: how many are wanted, and how good they have to be."""

from collections.abc import Mapping
from typing import Any

from aiapp_service.http.errors import bad_request
from aiapp_service.retrieval import filters
from aiapp_service.retrieval.service import Wanted

MOST_RESULTS = 50
RESULTS = 10
_RANKERS = ("none", "auto", "default-2024-11-15", "default_2024_08_21")


def wanted(given: Mapping[str, Any], place: str = "", results: int = RESULTS) -> Wanted:
    """What a search, or the tool `file_search`, asks for; `place` goes before the names of fields in errors.

    Raises:
        ApiError: names the field that is wrong.
    """
    limit = given.get("max_num_results")
    limit = results if limit is None else limit
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_RESULTS:
        field = f"{place}max_num_results"
        raise bad_request(f"{field} has to be a number from 1 to {MOST_RESULTS}", field)
    options = given.get("ranking_options")
    options = {} if options is None else options
    field = f"{place}ranking_options"
    if not isinstance(options, dict):
        raise bad_request(f"{field} has to be an object", field)
    if options.get("ranker") not in (None, *_RANKERS):
        known = ", ".join(_RANKERS)
        raise bad_request(f"{field}.ranker has to be one of {known}", f"{field}.ranker")
    threshold = _number(options, "score_threshold", f"{field}.", 0.0, 1.0, 0.0)
    weights = options.get("hybrid_search")
    weights = {} if weights is None else weights
    field = f"{field}.hybrid_search"
    if not isinstance(weights, dict):
        raise bad_request(f"{field} has to be an object", field)
    vector = _number(weights, "embedding_weight", f"{field}.", 0.0, 1000.0, 1.0)
    text = _number(weights, "text_weight", f"{field}.", 0.0, 1000.0, 1.0)
    if vector == text == 0:
        raise bad_request(f"{field}: one of embedding_weight and text_weight has to be more than 0", field)
    return Wanted(limit, filters.parse(given.get("filters"), f"{place}filters"), threshold, vector, text)


def _number(given: Mapping[str, Any], name: str, place: str, least: float, most: float, default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise bad_request(f"{place}{name} has to be a number from {least:g} to {most:g}", f"{place}{name}")
    return float(value)
