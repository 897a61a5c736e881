"""Normalisers, case by case: one spelling of what is one id, and the reason where it is none."""

from collections.abc import Callable

import pytest

from appliance.identity import normalise
from appliance.identity.normalise import IS_NATIONAL, IS_NO_EMAIL, IS_NO_NUMBER, IS_NO_PHONE, LeftOut

EMAILS = [
    ("zoe@example.com", "zoe@example.com"),
    ("  Zoe.O'Brien+news@Example.COM \n", "zoe.o'brien+news@example.com"),
    ("\u200bzoe@example.com\ufeff", "zoe@example.com"),
    ("zoe@bücher.example", "zoe@bücher.example"),
    ("zoe@xn--bcher-kva.example", "zoe@xn--bcher-kva.example"),
    ("ЗОЯ@пример.рф", "зоя@пример.рф"),
    ("a@b.co", "a@b.co"),
    ("", ""),
    ("  ", ""),
]
NO_EMAILS = [
    "zoe", "zoe@", "@example.com", "zoe@example", "zoe@@example.com", "zoe@example..com", "zoe@.com", "zoe@example.com.",
    "Zoe <zoe@example.com>", "mailto:zoe@example.com", "zoe@example.com, ann@example.com", "zoe o@example.com",
    "a@1.2.3.4", "zoe@exam/ple.com", "@", "+44 20 7946 0958",
]  # fmt: skip
PHONES = [
    # as sent, phone_country, E.164
    ("+442079460958", "", "+442079460958"),
    ("+44 20 7946 0958", "", "+442079460958"),
    ("+44 (0)20 7946-0958", "", "+442079460958"),
    ("0044 20 7946 0958", "", "+442079460958"),
    ("0044 (0) 20 7946 0958", "44", "+442079460958"),
    ("tel:+44-20-7946-0958", "", "+442079460958"),
    ("+44\u00a020\u20117946\u20130958", "", "+442079460958"),
    ("\u202a+44 20 7946 0958\u202c", "", "+442079460958"),
    ("\uff0b\uff14\uff14 \uff12\uff10\uff17\uff19\uff14\uff16\uff10\uff19\uff15\uff18", "", "+442079460958"),
    ("+٤٤٢٠٧٩٤٦٠٩٥٨", "", "+442079460958"),
    ("020 7946 0958", "44", "+442079460958"),
    ("(020) 7946/0958", "44", "+442079460958"),
    ("20 7946 0958", "44", "+442079460958"),
    ("06 698 12345", "39", "+390669812345"),
    ("(202) 555-0146", "1", "+12025550146"),
    ("1-202-555-0146", "1", "+12025550146"),
    ("202.555.0146", "1", "+12025550146"),
    ("8 (912) 345-67-89", "7", "+79123456789"),
    ("7 912 345 67 89", "7", "+79123456789"),
    ("812 345 67 89", "7", "+78123456789"),
    ("+1 202 555 0146", "44", "+12025550146"),
    ("", "44", ""),
    (" - ", "44", ""),
]
NO_PHONES = [
    ("020 7946 0958", "", IS_NATIONAL),
    ("12345678", "", IS_NATIONAL),
    ("+1234567", "", IS_NO_PHONE),
    ("+1234567890123456", "", IS_NO_PHONE),
    ("+0442079460958", "", IS_NO_PHONE),
    ("000442079460958", "", IS_NO_PHONE),
    ("+44 20 7946 0958 x12", "", IS_NO_PHONE),
    ("+44+2079460958", "", IS_NO_PHONE),
    ("1-800-FLOWERS", "1", IS_NO_PHONE),
    ("0", "44", IS_NO_PHONE),
    ("+", "44", IS_NO_PHONE),
    ("zoe@example.com", "44", IS_NO_PHONE),
    ("²³⁴⁵⁶⁷⁸⁹", "44", IS_NO_PHONE),
]


@pytest.mark.parametrize(("sent", "normal"), EMAILS)
def test_emails(sent: str, normal: str) -> None:
    assert normalise.email(sent) == normal


@pytest.mark.parametrize("sent", NO_EMAILS)
def test_what_is_no_email(sent: str) -> None:
    with pytest.raises(LeftOut, match=IS_NO_EMAIL):
        normalise.email(sent)


@pytest.mark.parametrize(("sent", "country", "normal"), PHONES)
def test_phones(sent: str, country: str, normal: str) -> None:
    assert normalise.phone(sent, country) == normal


@pytest.mark.parametrize(("sent", "country", "reason"), NO_PHONES)
def test_what_is_no_phone(sent: str, country: str, reason: str) -> None:
    with pytest.raises(LeftOut) as caught:
        normalise.phone(sent, country)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("function", "sent", "normal"),
    [
        (normalise.lower, " AbC ", "abc"),
        (normalise.lower, "ÄÖ\u200bÜ", "äöü"),
        (normalise.digits, "6310 1500-0000.0017", "6310150000000017"),
        (normalise.digits, "٤٢", "42"),
        (normalise.digits, " ", ""),
        (normalise.normaliser("trim"), " A b ", "A b"),
        (normalise.normaliser("lower"), "A", "a"),
        (normalise.normaliser("digits"), "1 2", "12"),
        (normalise.normaliser("email"), "A@B.co", "a@b.co"),
        (normalise.normaliser("phone", "49"), "030 123456", "+4930123456"),
    ],
)
def test_others_and_their_names_in_the_configuration(function: Callable[[str], str], sent: str, normal: str) -> None:
    assert function(sent) == normal


@pytest.mark.parametrize("sent", ["12a", "²", "+1", "1_2"])
def test_what_is_no_number(sent: str) -> None:
    with pytest.raises(LeftOut, match=IS_NO_NUMBER):
        normalise.digits(sent)
