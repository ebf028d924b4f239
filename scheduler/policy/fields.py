"""The fields of the Policy and RateCard documents: one table validates, makes the JSON Schema and is documented."""

from __future__ import annotations

from typing import Any

from scheduler.core.units import MILLI_PER_GPU, MS_PER_HOUR, PPM_ONE
from scheduler.schema.kinds import Choice, Decimal, Duration, Flag, Instant, Text, Whole
from scheduler.schema.validate import Field, ListOf, MapOf, Objects, Unsupported, Values

API_VERSION = "dure.dev/v1alpha1"
FLAVORS_MAX = 64
CLASSES_MAX = 64
OVERRIDES_MAX = 10_000
GPUS_MAX = 1_000_000
WEIGHT_MAX_PPM = 1_000_000 * PPM_ONE
WON_PER_GPU_HOUR_MAX = 1_000_000_000
DAY_MS = 24 * MS_PER_HOUR
TIME_MAX_MS = 90 * DAY_MS

_LABEL = r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"
_FLAVOR = r"[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?"
_NAME = Text("1 to 40 small letters, digits and dashes, from a letter on", 40, 1, _LABEL)
_FLAVOR_NAME = Text("1 to 40 small letters, digits, dots and dashes", 40, 1, _FLAVOR)
_GPUS = Decimal(3, 0, GPUS_MAX * MILLI_PER_GPU, "a number of GPUs such as 96 or 0.5")
_PART = Decimal(6, 0, PPM_ONE, "a part of 1 such as 0.45")
_AMOUNTS = MapOf(_FLAVOR_NAME, _GPUS, "a mapping of flavors to GPUs, such as {h100-80g: 96}", FLAVORS_MAX)

API: Field[str] = Field("apiVersion", Choice((API_VERSION,)), "Version of the file's form.", True, API_VERSION)
API_OF_CARD: Field[str] = Field("apiVersion", Choice((API_VERSION,)), "Version of the file's form.")
POLICY_KIND: Field[str] = Field("kind", Choice(("Policy",)), "Policy.", True, "Policy")
CARD_KIND: Field[str] = Field("kind", Choice(("RateCard",)), "RateCard.", True, "RateCard")
NAME: Field[str] = Field("name", _NAME, "Name of the document.", True, "national-2026")
METADATA: Field[Values] = Field(
    "metadata",
    Objects((NAME,), wanted="a mapping such as {name: national-2026}"),
    "The document's name.",
    True,
    "{name: national-2026}",
)
CARD_METADATA: Field[Values] = Field("metadata", Objects((NAME,)), METADATA.doc, True, "{name: ratecard-2026-2}")

# shares
WEIGHT: Field[int] = Field(
    "weight", Decimal(6, 0, WEIGHT_MAX_PPM, "a number such as 40"), "Part of what siblings share; 0 is served last."
)
CLASS_WEIGHT: Field[int] = Field("weight", WEIGHT.kind, WEIGHT.doc, True, "1")
GUARANTEE: Field[dict[str, int]] = Field("guarantee", _AMOUNTS, "GPUs by flavor that are there at once; absent: 0.")
BORROWING: Field[dict[str, int]] = Field(
    "borrowing_limit", _AMOUNTS, "GPUs by flavor beyond the guarantee; absent: no limit."
)
LENDING: Field[dict[str, int]] = Field(
    "lending_limit", _AMOUNTS, "GPUs by flavor of the guarantee that others may use; absent: all."
)

# flavors
EXCHANGE: Field[int] = Field(
    "exchange",
    Decimal(6, 1, WEIGHT_MAX_PPM, "a number such as 0.45"),
    "Value of one GPU in GPU units, for share and forecast, never for money.",
    True,
    "1.0",
)
RESOURCE: Field[str] = Field(
    "resource",
    Text("a resource name such as nvidia.com/gpu", 253, 1, r"[a-z0-9][a-z0-9./-]*"),
    "Kubernetes resource that counts these GPUs; nvidia.com/gpu when absent.",
)
SELECTOR: Field[dict[str, str]] = Field(
    "selector",
    MapOf(
        Text("a label's name", 317, 1, r"[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?"),
        Text("a label's value", 63, 1, r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"),
        "a mapping of labels",
        32,
    ),
    "Labels that a Kubernetes node of this flavor carries.",
)
FLAVORS: Field[dict[str, Values]] = Field(
    "flavors",
    MapOf(
        _FLAVOR_NAME,
        Objects((EXCHANGE, RESOURCE, SELECTOR)),
        "a mapping such as {h100-80g: {exchange: 1.0}}",
        FLAVORS_MAX,
        1,
    ),
    "Kinds of GPUs, each with a quota of its own.",
    True,
    "{h100-80g: {exchange: 1.0}}",
)

# tiers
PRICE_FACTOR: Field[int] = Field("price", _PART, "Factor on the list price; 1 when absent.")
GRACE: Field[int] = Field(
    "grace", Duration(0, 24 * MS_PER_HOUR), "Time between an eviction's notice and its end; 2m when absent."
)
_TIER = Objects((PRICE_FACTOR, GRACE))
GUARANTEED: Field[Values] = Field("guaranteed", _TIER, "Inside a guarantee; never reclaimed.")
BORROW: Field[Values] = Field("borrow", _TIER, "Whatever the limits allow; reclaimed when its owner needs it.")
SCAVENGE: Field[Values] = Field("scavenge", _TIER, "What nobody else can use; reclaimed first.")
TIERS: Field[Values] = Field("tiers", Objects((GUARANTEED, BORROW, SCAVENGE)), "Prices and grace of the three tiers.")

# limits
MAX_GPUS: Field[int] = Field(
    "max_gpus_per_job", Whole(1, GPUS_MAX), "Largest gang in GPUs, all nodes together.", True, "128"
)
DEFAULT_TIME: Field[int] = Field(
    "default_time", Duration(1_000, TIME_MAX_MS), "Time limit of an attempt whose task names none.", True, "12h"
)
MAX_TIME: Field[int] = Field(
    "max_time", Duration(1_000, TIME_MAX_MS), "Longest time limit a task may name.", True, "7d"
)
MAX_PENDING: Field[int] = Field(
    "max_pending_per_project", Whole(1, 100_000), "Waiting jobs a project may have; 200 when absent."
)
CHECKPOINT_INTERVAL: Field[int] = Field(
    "checkpoint_interval_max",
    Duration(1_000, DAY_MS),
    "Most that an eviction may cost, counted since the last checkpoint; 60m when absent.",
)
MAX_LOSSES: Field[int] = Field(
    "max_losses", Whole(0, 1_000), "Lost attempts after which a job has failed; 20 when absent."
)
LIMITS: Field[Values] = Field(
    "limits",
    Objects((MAX_GPUS, DEFAULT_TIME, MAX_TIME, MAX_PENDING, CHECKPOINT_INTERVAL, MAX_LOSSES)),
    "What a submission may ask for.",
    True,
    "{max_gpus_per_job: 128, default_time: 12h, max_time: 7d}",
)

# classes
OF_LIST: Field[int] = Field("of_list", _PART, "The tenant's part of list price times tier.", True, "0.10")
FUNDER: Field[str] = Field("funder", Text("a name", 80), "Who pays the rest; without one the rest is a discount.")
IN_SUPPLY: Field[bool] = Field(
    "in_supply_value", Flag(), "The funder's part belongs to the VAT base; false when absent."
)
PRICE: Field[Values] = Field(
    "price", Objects((OF_LIST, FUNDER, IN_SUPPLY)), "What an organisation of the class pays.", True, "{of_list: 1}"
)
ORG_DEFAULT: Field[Values] = Field(
    "org_default",
    Objects((WEIGHT, GUARANTEE, BORROWING, LENDING)),
    "Share of each organisation without an override; weight 1 and no guarantee when absent.",
)
ISOLATION: Field[str] = Field(
    "isolation",
    Choice(
        ("shared",),
        (
            ("node", "a node for each organisation alone is not supported yet"),
            ("sandbox", "sandboxed jobs are not supported yet"),
        ),
    ),
    "How jobs of the class are kept apart; shared when absent.",
)
CLASSES: Field[dict[str, Values]] = Field(
    "classes",
    MapOf(
        _NAME,
        Objects((CLASS_WEIGHT, GUARANTEE, BORROWING, LENDING, ORG_DEFAULT, ISOLATION, PRICE)),
        "a mapping such as {sme: {weight: 1, price: {of_list: 1}}}",
        CLASSES_MAX,
        1,
    ),
    "Classes of organisations, each with its share of the pool and its price.",
    True,
    "{sme: {weight: 1, price: {of_list: 1}}}",
)

# overrides
ORG: Field[str] = Field("org", _NAME, "The organisation that the override is for.")
PROJECT: Field[str] = Field(
    "project", Text("ORG/PROJECT", 81, 1, f"{_LABEL}/{_LABEL}"), "The project that it is for, in place of org."
)
UNTIL: Field[int] = Field("until", Instant(), "The instant at which it ends by itself; absent: it lasts.")
REASON: Field[str] = Field("reason", Text("a text", 500), "Why, for the audit.")
OVERRIDES: Field[list[Values]] = Field(
    "overrides",
    ListOf(
        Objects(
            (ORG, PROJECT, WEIGHT, GUARANTEE, BORROWING, LENDING, UNTIL, REASON),
            hints={"organisation": "org", "organization": "org", "tenant": "org", "expires": "until"},
        ),
        "a list of overrides",
        OVERRIDES_MAX,
    ),
    "Named organisations and projects; what an override gives replaces that field of the default.",
)

# billing and the whole
CALENDAR: Field[str] = Field("calendar", Choice(("month", "manual")), "Billing periods; month when absent.")
VAT: Field[int] = Field("vat", _PART, "Value added tax; 0.10 when absent.")
MODE: Field[str] = Field("mode", Choice(("down", "half-up")), "What happens to a fraction; down when absent.")
QUANTUM: Field[int] = Field("quantum", Whole(1, 10), "Won to which amounts are rounded; 1 when absent.")
_ROUNDING = Objects((MODE, QUANTUM), wanted="a mapping such as {mode: down, quantum: 10}")
LINE_ROUNDING: Field[Values] = Field("line_rounding", _ROUNDING, "How an invoice line becomes whole won.")
VAT_ROUNDING: Field[Values] = Field("vat_rounding", _ROUNDING, "How value added tax becomes whole won.")
BILLING: Field[Values] = Field(
    "billing", Objects((CALENDAR, VAT, LINE_ROUNDING, VAT_ROUNDING)), "Billing periods, tax and rounding."
)
TIMEZONE: Field[str] = Field(
    "timezone",
    Text("a time zone such as Asia/Seoul", 64, 1, r"[A-Za-z][A-Za-z0-9_+/-]*"),
    "Time zone of dates shown to people; Asia/Seoul when absent.",
)
HALF_LIFE: Field[int] = Field(
    "half_life", Duration(MS_PER_HOUR, 365 * DAY_MS), "Time in which past usage loses half its weight; 7d when absent."
)
RATE_CARD: Field[str] = Field("rate_card", _NAME, "Name of the rate card in force.", True, "ratecard-2026-2")

_LATER = {
    name: Unsupported(f"{name} cannot be set yet", "remove it; this version does not have it")
    for name in ("topology", "reservations", "grants", "covenants", "selection")
}
POLICY = Objects(
    (API, POLICY_KIND, METADATA, TIMEZONE, FLAVORS, TIERS, HALF_LIFE, LIMITS, CLASSES, OVERRIDES, RATE_CARD, BILLING),
    unsupported=_LATER,
    hints={"calendar": "billing", "vat": "billing", "ratecard": "rate_card", "usageHalfLife": "half_life"},
    wanted="a mapping of the policy's fields",
)
VALID_FROM: Field[int] = Field(
    "valid_from", Instant(), "From when on these prices hold.", True, "2026-07-01T00:00:00+09:00"
)
WON: Field[dict[str, int]] = Field(
    "won_per_gpu_hour",
    MapOf(
        _FLAVOR_NAME,
        Whole(0, WON_PER_GPU_HOUR_MAX),
        "a mapping of flavors to whole won, such as {h100-80g: 2900}",
        FLAVORS_MAX,
        1,
    ),
    "List price of one GPU for one hour, by flavor, in whole won.",
    True,
    "{h100-80g: 2900}",
)
RATE_CARD_DOCUMENT = Objects(
    (API_OF_CARD, CARD_KIND, CARD_METADATA, VALID_FROM, WON), wanted="a mapping of the rate card's fields"
)


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of one document of a policy file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dure.dev/schema/policy.v1.json",
        "title": "Dure policy or rate card, version 1",
        "if": {"properties": {"kind": {"const": "RateCard"}}, "required": ["kind"]},
        "then": RATE_CARD_DOCUMENT.schema(),
        "else": POLICY.schema(),
    }
