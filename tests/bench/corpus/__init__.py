"""A hundred short documents, half of which have a question: texts of our own on common knowledge.

A question shares few words with its answer. The other half are neighbours that share words with the questions, so that
words alone lead astray.
"""

from pathlib import Path

_FILE = Path(__file__).with_name("facts.tsv")
_OTHERS = (
    "The beach hotel has rooms with a view of the water and serves lunch at noon.",
    "A loaf costs three coins at the baker's on the corner, and two in the evening.",
    "The night train has a silent compartment; its conductor checks tickets twice.",
    "Sand for the playground is brought each spring and raked by volunteers.",
    "The axis of the cart broke on the road to the north, and a magnet was of no use.",
    "People of the ocean village season their fish with herbs from the hills.",
    "Old books are kept in the cellar of the library, where nobody reads them.",
    "A single fibre cable links both offices; it is forty kilometres long.",
    "The tough metal door of the vault is painted green.",
    "Some mountains are climbed every day, others only by those who have a guide.",
    "Coloured arcs decorate the gate of the old town; look at them from the square.",
    "The vegetable market opens at six, in gardens behind the church.",
    "The morning drink is included in the price of the room.",
    "The smallest piece of the cake goes to whoever is last at the board.",
    "A hidden door links the two faces of the building.",
    "The pianist takes the stage at eight; the sound check is at five.",
    "The desert animal park stores hay on the back lot.",
    "Birds of the south coast keep to the cliffs.",
    "A fish shop stands by the stream where the mill was.",
    "Metal wire is sold by the metre, natural thread by the reel.",
    "Flying lessons begin in complete darkness only for those with a licence.",
    "The stump of the old oak was taken out after two dry years.",
    "Take up water bottles before the walk; there is nothing on the ground to drink from.",
    "The growth of the partnership was set in stone by the contract.",
    "Sailors meet obstacles at the customs house.",
    "The frozen foods are at the top of the shop, solid shelves below.",
    "Counting the distance of the race is the task of two judges.",
    "The winter sky festival has a branch office in the valley.",
    "Travellers may rest after sunset in the inn among the dunes.",
    "A lake appears on the map beside the hot road, though it has dried up.",
    "The two-wheeler shop is moving to the station.",
    "The door opens at the same height as the ramp.",
    "Old timepieces are mended in summer only.",
    "A beam of the roof fell into the sea during the storm.",
    "The crossing at the valley's sides is closed for repairs.",
    "A barge restaurant lies at the foot of the hill.",
    "A toy on a string was found; ask at the desk.",
    "Heated cloth is used by the physiotherapist on the ground floor.",
    "Rinsing is forbidden in the kitchen after ten.",
    "An old bottle was found on the shore with a letter in it.",
    "Firm offers for the milk contract are due on Monday.",
    "Several plants of the company make differently coloured paint.",
    "Tree nurseries hold an auction for good.",
    "Writing courses are held in the fluid mechanics building.",
    "Letters can be sent again if they were lost.",
    "Europe's sign for nothing to declare is green.",
    "Every atlas in the shop is reduced.",
    "Jupiter is the name of our new ship; its lamp flickers.",
    "Visitors stream into the outer court in either direction.",
    "A stomach ache keeps children at home for a day.",
)


def documents() -> dict[str, str]:
    """Texts by name."""
    facts = {name: text for name, text, _ in _rows()}
    return facts | {f"other {number}": text for number, text in enumerate(_OTHERS)}


def questions() -> list[tuple[str, str]]:
    """Questions, each with the name of the document that answers it."""
    return [(question, name) for name, _, question in _rows()]


def _rows() -> list[list[str]]:
    return [line.split("\t") for line in _FILE.read_text(encoding="utf-8").splitlines()]
