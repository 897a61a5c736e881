"""Traits as events name them, under the names by which people are compared. Pure; whatever stands in an event.

Source: the reserved traits of an `identify` call in the SDKs (`firstName`, `address.postalCode`, ...).
"""

VALUE_CHARACTERS_MAX = 200
NAMES_MAX = 256
"""Keys of one object that are looked at: who sends more does not describe a person."""

_NAMES = {
    "firstname": "first_name",
    "givenname": "first_name",
    "lastname": "last_name",
    "surname": "last_name",
    "familyname": "last_name",
    "name": "name",
    "fullname": "name",
    "email": "email",
    "phone": "phone",
    "phonenumber": "phone",
    "birthday": "birthday",
    "birthdate": "birthday",
    "dateofbirth": "birthday",
}
_ADDRESS_NAMES = {
    "street": "street",
    "city": "city",
    "postalcode": "postcode",
    "postcode": "postcode",
    "zip": "postcode",
    "zipcode": "postcode",
    "state": "state",
    "country": "country",
}


def traits_of(traits: object) -> dict[str, str]:
    """What an event's `traits` say of a person, by our names; values as sent but for white space at their ends.

    `firstName`, `first_name` and `FirstName` are one name. `address` may be an object or one line of text; its parts
    may also stand beside it. Of two spellings of one name the first counts. Whatever is no text or number, is empty or
    is longer than 200 characters is left out: no person has such a name.

    Returns:
        Any of first_name, last_name, name, email, phone, birthday, street, city, postcode, state, country, address.
    """
    found: dict[str, str] = {}
    _take(traits, {**_NAMES, **_ADDRESS_NAMES, "address": "address"}, found)
    address = traits.get("address") if isinstance(traits, dict) else None
    if isinstance(address, dict):
        inside: dict[str, str] = {}
        _take(address, _ADDRESS_NAMES, inside)
        found.update(inside)
    return found


def _take(given: object, names: dict[str, str], found: dict[str, str]) -> None:
    if not isinstance(given, dict):
        return
    for number, (key, value) in enumerate(given.items()):
        if number == NAMES_MAX:
            return
        if not isinstance(key, str) or len(key) > 32:
            continue
        ours = names.get(key.replace("_", "").replace("-", "").lower())
        if ours is not None and ours not in found and (text := _text(value)):
            found[ours] = text


def _text(value: object) -> str:
    """A value as text; "" for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else ""
    if len(value) > 4 * VALUE_CHARACTERS_MAX:
        return ""
    text = value.encode("utf-8", "ignore").decode().replace("\0", "").strip()  # lone surrogates go no further
    return text if len(text) <= VALUE_CHARACTERS_MAX else ""
