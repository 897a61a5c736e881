"""How much each likeness weighs: learned by splink from the people themselves, held by expectations where they are few.

splink is a Fellegi-Sunter model. For every level of a trait, u is how often strangers stand at it (counted over random
pairs) and m how often two records of one person do (expectation maximisation over pairs that share another, personal
trait). Few duplicates teach little, and with none at all the maximisation finds something else. So what it found counts
by the matches it was found in, and the expectations of `match_traits` count as twenty matches more.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from appliance.identity.match_traits import Trait

SEED = 20
RANDOM_PAIRS_MAX = 1_000_000
TRAINING_PAIRS_MAX = 500_000
Shares = dict[str, list[tuple[float, float]]]
"""(m, u) of each level, by the name of the trait."""

_EXPECTED_MATCHES = 20
"""What the expectations of m weigh, in matches seen."""
_EXPECTED_PAIRS = 10
"""What the expectations of u weigh, in pairs counted."""
_IMPLAUSIBLE = 4
"""Times the matches that there can be: who learns from so many has learned something else."""
_SHARE_LEAST = 1e-7


def settings(traits: Sequence[Trait], shares: Shares, prior: float) -> dict[str, Any]:
    """The model as splink takes it; `shares` holds (m, u) of each level, `prior` the probability of a random pair."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "number",
        "probability_two_random_records_match": prior,
        "blocking_rules_to_generate_predictions": ["l.number = r.number"],  # the pairs are handed over
        "comparisons": [_comparison(trait, shares[trait.name]) for trait in traits],
        "retain_matching_columns": True,  # the level of each trait comes with them
        "retain_intermediate_calculation_columns": True,
        "max_iterations": 15,
        "em_convergence": 0.001,
    }


def expected(traits: Sequence[Trait]) -> Shares:
    """(m, u) of each level before anything was seen."""
    found = {}
    for trait in traits:
        m, u = _whole([level.match for level in trait.levels]), _whole([level.chance for level in trait.levels])
        found[trait.name] = list(zip(m, u, strict=True))
    return found


def learn(
    make: Callable[[Shares], Any],
    traits: Sequence[Trait],
    people: int,
    matches: float,
    pairs_by: Callable[[str], int],
    say: Callable[[str], None],
) -> Shares:
    """(m, u) of each level, after a look at the data.

    Args:
        make: makes a linker of splink's with these shares; every look has one of its own.
        traits: what is compared.
        people: how many there are.
        matches: how many pairs of one person are thought to be among them.
        pairs_by: pairs of people that share a column's value.
        say: what happens, in words.
    """
    say("counting how often strangers are alike")
    before = expected(traits)
    linker = make(before)
    linker.training.estimate_u_using_random_sampling(
        max_pairs=RANDOM_PAIRS_MAX, seed=SEED, min_count_per_level=None, num_chunks=1
    )
    all_pairs = people * (people - 1) / 2
    strangers = _strangers(linker.misc.save_model_to_json(), traits, min(all_pairs, RANDOM_PAIRS_MAX))
    known = {name: [(m, u) for (m, _), u in zip(before[name], strangers[name], strict=True)] for name in before}
    weighed = {name: [_EXPECTED_MATCHES * m for m, _ in levels] for name, levels in before.items()}
    for trait in traits:
        # A household would be taken for one person among those who share its address, phone or last name; and of two
        # traits, one alone would teach itself.
        if not trait.personal or len(traits) < 3 or (pairs := pairs_by(trait.shown[0])) == 0:
            continue
        say(f"learning from people with the same {trait.name}")
        for name, seen in _session(make(known), traits, trait.shown[0], pairs, matches).items():
            weighed[name] = [sum(both) for both in zip(weighed[name], seen, strict=True)]
    learned = {}
    for name, counts in weighed.items():
        m = _whole(counts)
        learned[name] = list(zip(m, _without_matches(strangers[name], m, matches / all_pairs), strict=True))
    return learned


@contextmanager
def quiet() -> Iterator[None]:
    """Without splink's own log: it speaks of its own settings, which whoever runs this cannot change."""
    logger = logging.getLogger("splink")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _session(linker: Any, traits: Sequence[Trait], column: str, pairs: int, matches: float) -> dict[str, list[float]]:
    """Matches seen at each level, by trait, among the pairs that share a value of `column`."""
    from splink.internals.exceptions import SplinkException

    try:
        session = linker.training.estimate_parameters_using_expectation_maximisation(
            f"l.{column} = r.{column}",
            estimate_without_term_frequencies=True,
            max_pairs=TRAINING_PAIRS_MAX,
            record_sample_proportion=1.0,
        )
    except (SplinkException, ValueError):
        return {}  # It came to nothing: no pair is left after sampling, or all are of one kind and a share is nought.
    model = session.core_model_settings
    seen = model.probability_two_random_records_match * min(pairs, TRAINING_PAIRS_MAX)
    if seen > _IMPLAUSIBLE * matches:
        return {}  # More matches than there can be: it has learned something else.
    trained = {
        comparison.output_column_name: [level for level in comparison.comparison_levels if not level.is_null_level]
        for comparison in model.comparisons
    }
    return {
        trait.name: [seen * (level.m_probability or 0.0) for level in trained[column_of(trait)]]
        for trait in traits
        if column_of(trait) in trained
    }


def bits_of(trait: Trait) -> str:
    """SQL for what a trait weighs in a scored pair, the rarity of its value included."""
    rare = f" + mw_tf_adj_{column_of(trait)}" if any(level.frequency for level in trait.levels) else ""
    return f"mw_{column_of(trait)}{rare}"


def _strangers(model: dict[str, Any], traits: Sequence[Trait], pairs: float) -> dict[str, list[float]]:
    """u of each level, as splink counted it over so many pairs."""
    counted = {one["output_column_name"]: one["comparison_levels"] for one in model["comparisons"]}
    found = {}
    for trait in traits:
        seen = [level for level in counted[column_of(trait)] if not level.get("is_null_level")]
        chances = _whole([level.chance for level in trait.levels])
        # A level that no pair stands at comes back with some share or none; it is the expectation that counts there.
        found[trait.name] = _whole(
            [
                pairs * float(level.get("u_probability") or 0.0) + _EXPECTED_PAIRS * chance
                for level, chance in zip(seen, chances, strict=True)
            ]
        )
    return found


def _without_matches(seen: list[float], m: list[float], prior: float) -> list[float]:
    """u without the matches that stand among random pairs."""
    return _whole([max(s - prior * share, s / 10, _SHARE_LEAST) for s, share in zip(seen, m, strict=True)])


def _comparison(trait: Trait, shares: list[tuple[float, float]]) -> dict[str, Any]:
    levels: list[dict[str, Any]] = [{"sql_condition": trait.missing, "is_null_level": True}]
    for level, (m, u) in zip(trait.levels, shares, strict=True):
        described: dict[str, Any] = {"sql_condition": level.condition, "m_probability": m, "u_probability": u}
        if level.frequency:
            described.update(tf_adjustment_column=level.frequency, disable_tf_exact_match_detection=True)
        levels.append(described)
    return {"output_column_name": column_of(trait), "comparison_levels": levels}


def column_of(trait: Trait) -> str:
    """A trait's name as splink's columns carry it: `gamma_<name>`, `mw_<name>`."""
    return trait.name.replace(" ", "_").replace("-", "")


def _whole(shares: list[float]) -> list[float]:
    """In sum one, none of them nothing."""
    some = [max(share, _SHARE_LEAST) for share in shares]
    return [share / math.fsum(some) for share in some]
