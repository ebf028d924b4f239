"""The sheet of each kind of body."""

from __future__ import annotations

from scheduler.cli import arrays
from scheduler.cli import tables as t
from scheduler.cli.tables import Column, Sheet
from scheduler.schema import bodies

JOBS = Sheet(
    (
        Column("ID", t.text("id")),
        Column("NAME", arrays.name_of, cuts=True),
        Column("STATE", t.text("state")),
        Column("REASON", arrays.reason_of),
        Column("GPUS", t.gang, leaves=2),
        Column("TIER", t.tier_or_wanted, leaves=1),
        Column("WAIT/RUN", t.waited_or_ran, right=True, leaves=3),
        Column("NODES", t.shape, wide=True),
        Column("PROJECT", lambda row, view: f"{row.org}/{row.project}", wide=True),
        Column("USER", t.text("user"), wide=True),
        Column("ATTEMPT", t.number("attempt"), wide=True, right=True),
        Column("EXIT", t.exit_status, wide=True, right=True),
        Column("GPU-HOURS", t.held_hours, wide=True, right=True),
        Column("SUBMITTED", t.instant("submitted_at"), wide=True),
    ),
    t.by_field("id"),
    t.by_field("name"),
    t.fields_of(bodies.JobBody),
    empty="no jobs that wait or run; all of them: dure queue --all",
)
JOB = Sheet(
    t.note(
        (
            ("Job", t.text("id")),
            ("Name", arrays.name_of),
            ("State", t.text("state")),
            ("Reason", arrays.reason_of),
            ("Message", t.text("message")),
            ("Exit code", t.exit_status),
            ("Project", lambda row, view: f"{row.org}/{row.project}"),
            ("Class", t.text("class_name")),
            ("User", t.text("user")),
            ("GPUs", lambda row, view: f"{row.gpus} {row.flavor} ({row.nodes} x {row.gpus_per_node})"),
            ("Tiers", t.joined("tiers")),
            ("Tier", t.text("tier")),
            ("Attempt", lambda row, view: f"{row.attempt} ({row.attempt_state})" if row.attempt else t.NOTHING),
            ("Time limit", t.time_limit),
            ("Submitted", t.instant("submitted_at")),
            ("Started", t.instant("started_at")),
            ("Ended", t.instant("ended_at")),
            ("GPU-hours", t.held_hours),
        )
    ),
    t.by_field("id"),
    t.by_field("name"),
    t.fields_of(bodies.JobBody),
    card=True,
)
EVENTS = Sheet(
    (
        Column("TIME", t.second("at")),
        Column("EVENT", t.text("event")),
        Column("DETAIL", t.text("detail"), folds=True),
    ),
    t.by_field("at"),
    t.by_field("event"),
    t.fields_of(bodies.EventBody),
    empty="nothing has happened yet",
)
ARTIFACTS = Sheet(
    (
        Column("PATH", t.text("path"), folds=True),
        Column("SIZE", lambda row, view: t.NOTHING if row.why else f"{row.size:,}", right=True),
        Column("SHA-256", lambda row, view: row.sha256[:12] or t.NOTHING, leaves=1),
        Column("ATTEMPT", t.number("attempt"), right=True, leaves=2),
        Column("STATE", lambda row, view: f"{row.state}: {row.why}" if row.why else row.state, folds=True),
    ),
    t.by_field("path"),
    t.by_field("path"),
    t.fields_of(bodies.ArtifactBody),
    empty="no artifacts: what a job writes to $DURE_ARTIFACTS is collected when its attempt ends",
)
QUOTA = Sheet(
    (
        Column("TREE NODE", t.text("tree_node"), folds=True),
        Column("FLAVOR", t.text("flavor")),
        Column("GUARANTEED", t.guaranteed_bar),
        Column("BORROW", t.gpus("held_borrow"), right=True, leaves=3),
        Column("SCAVENGE", t.gpus("held_scavenge"), right=True, leaves=1),
        Column("PENDING", t.gpus("pending"), right=True, leaves=2),
        Column("FAIR SHARE", t.gpus("fair_share"), right=True, leaves=4),
        Column("LEVEL", t.text("level"), wide=True),
        Column("WEIGHT", t.weight, wide=True, right=True),
        Column("GUARANTEE", t.gpus("guarantee"), wide=True, right=True),
        Column("BORROWING LIMIT", t.gpus("borrowing_limit"), wide=True, right=True),
        Column("LENDING LIMIT", t.gpus("lending_limit"), wide=True, right=True),
    ),
    t.by_field("tree_node"),
    t.by_field("name"),
    t.fields_of(bodies.QuotaLine),
    empty="no quota yet: an administrator applies a policy and registers organisations",
)
USAGE = Sheet(
    (
        Column("PROJECT", lambda row, view: f"{row.org}/{row.project}", folds=True),
        Column("USER", t.text("user"), cuts=True, leaves=3),
        Column("FLAVOR", t.text("flavor")),
        Column("TIER", t.text("tier")),
        Column("JOBS", t.number("jobs"), right=True, leaves=1),
        Column("HELD GPU-H", t.hours("held_milli_gpu_ms"), right=True, leaves=2),
        Column("BILLED GPU-H", t.hours("billed_milli_gpu_ms"), right=True, leaves=4),
        Column("COST", t.cost, right=True),
        Column("NOT YET POSTED", t.hours("unposted_milli_gpu_ms"), wide=True, right=True),
    ),
    lambda row: f"{row.org}/{row.project}/{row.user}/{row.flavor}/{row.tier}",
    lambda row: f"{row.org}/{row.project}",
    t.fields_of(bodies.UsageLine),
    empty="no usage in this time",
)
GPUS = Sheet(
    (
        Column("CLUSTER", t.text("cluster")),
        Column("FLAVOR", t.text("flavor")),
        Column("NODES", t.number("nodes"), right=True, leaves=1),
        Column("TOTAL", t.number("total"), right=True),
        Column("HEALTHY", t.number("healthy"), right=True, leaves=3),
        Column("HELD", t.number("held"), right=True, leaves=4),
        Column("FREE", t.number("free"), right=True),
        Column("LARGEST GANG", t.text("largest_gang"), leaves=5),
        Column("PENDING JOBS", t.number("pending_jobs"), right=True, leaves=2),
    ),
    lambda row: f"{row.cluster}/{row.flavor}",
    t.by_field("flavor"),
    t.fields_of(bodies.GpuLine),
    empty="no cluster has reported GPUs yet",
)
TOKENS = Sheet(
    (
        Column("ID", t.text("id")),
        Column("USER", t.text("user"), cuts=True),
        Column("CREATED", t.instant("created_at"), leaves=1),
        Column("EXPIRES", t.instant("expires_at"), leaves=3),
        Column("STATE", t.token_state),
        Column("NOTE", t.text("note"), folds=True, leaves=2),
    ),
    t.by_field("id"),
    t.by_field("user"),
    tuple(name for name in t.fields_of(bodies.TokenBody) if name != "secret"),
    empty="no tokens",
)
WHOAMI = Sheet(
    t.note(
        (
            ("User", t.text("user")),
            ("Roles", lambda row, view: ", ".join(f"{grant.role} in {grant.scope}" for grant in row.grants) or "none"),
        )
    ),
    t.by_field("user"),
    t.by_field("user"),
    t.fields_of(bodies.WhoamiBody),
    card=True,
)
POLICY = Sheet(
    t.note(
        (
            ("Version", t.text("version")),
            ("Name", t.text("name")),
            ("Rate card", t.text("rate_card")),
            ("Applied", t.instant("applied_at")),
            ("By", t.text("applied_by")),
            ("Reason", t.text("reason")),
            ("SHA-256", t.text("sha256")),
        )
    ),
    t.by_field("version"),
    t.by_field("name"),
    t.fields_of(bodies.PolicyBody),
    card=True,
)
ORGS = Sheet(
    (
        Column("NAME", t.text("name")),
        Column("CLASS", t.text("class_name"), leaves=2),
        Column("STATE", t.text("state")),
        Column("TITLE", t.text("title"), folds=True, leaves=1),
        Column("REGISTRATION", t.text("registration_number"), wide=True),
        Column("TAX", t.text("tax_treatment"), wide=True),
    ),
    t.by_field("name"),
    t.by_field("name"),
    t.fields_of(bodies.OrgBody),
    empty="no organisations that you may see",
)
ORG = Sheet(
    t.note(
        (
            ("Name", t.text("name")),
            ("Title", t.text("title")),
            ("Class", t.text("class_name")),
            ("State", t.text("state")),
            ("Registration", t.text("registration_number")),
            ("Tax", t.text("tax_treatment")),
        )
    ),
    t.by_field("name"),
    t.by_field("name"),
    ORGS.fields,
    card=True,
)
PROJECTS = Sheet(
    (
        Column("PROJECT", lambda row, view: f"{row.org}/{row.name}"),
        Column("STATE", t.text("state")),
        Column("TITLE", t.text("title"), folds=True, leaves=1),
    ),
    lambda row: f"{row.org}/{row.name}",
    t.by_field("name"),
    t.fields_of(bodies.ProjectBody),
    empty="no projects that you may see",
)
MEMBERS = Sheet(
    (
        Column("USER", t.text("user"), folds=True),
        Column("ROLE", t.text("role")),
        Column("SCOPE", t.text("scope"), folds=True),
        Column("STATE", t.text("state"), leaves=1),
        Column("SINCE", t.instant("granted_at"), wide=True),
        Column("BY", t.text("granted_by"), wide=True),
    ),
    lambda row: f"{row.user}/{row.role}/{row.scope}",
    t.by_field("user"),
    t.fields_of(bodies.MemberBody),
    empty="no members that you may see",
)
PERIODS = Sheet(
    (
        Column("ID", t.text("id")),
        Column("STATE", t.text("state")),
        Column("START", t.instant("start"), leaves=2),
        Column("END", t.instant("end"), leaves=3),
        Column("CLOSED", t.instant("closed_at"), leaves=1),
        Column("WAITS FOR", t.text("waiting_for"), folds=True),
        Column("CALENDAR", t.text("calendar"), wide=True),
        Column("BY", t.text("closed_by"), wide=True),
    ),
    t.by_field("id"),
    t.by_field("id"),
    t.fields_of(bodies.PeriodBody),
    empty="no periods yet",
)
INVOICES = Sheet(
    (
        Column("NUMBER", t.text("number")),
        Column("ORGANISATION", t.text("org"), cuts=True),
        Column("PERIOD", t.text("period"), leaves=5),
        Column("LIST", t.amount("list_won"), right=True, leaves=2),
        Column("SUBSIDY", t.amount("subsidy_won"), right=True, leaves=1),
        Column("SUPPLY", t.amount("supply_won"), right=True, leaves=3),
        Column("VAT", t.amount("vat_won"), right=True, leaves=4),
        Column("PAYABLE", t.amount("payable_won"), right=True),
        Column("ISSUED", t.instant("issued_at"), wide=True),
        Column("SHA-256", t.text("sha256"), wide=True),
    ),
    t.by_field("number"),
    t.by_field("number"),
    t.fields_of(bodies.InvoiceSummary),
    empty="no invoices that you may see",
)
INVOICE = Sheet(
    t.note(
        (
            ("Invoice", t.text("number")),
            ("Organisation", t.text("org")),
            ("Period", t.text("period")),
            ("Issued", t.instant("issued_at")),
            ("List price", t.amount("list_won")),
            ("Tier factors", t.tier_part),
            ("Product", t.amount("product_won")),
            ("Paid by fund", t.less("funder_won")),
            ("Discount", t.less("discount_won")),
            ("Tenant part", t.amount("tenant_won")),
            ("Supply value", t.amount("supply_won")),
            ("VAT", t.amount("vat_won")),
            ("Payable", t.amount("payable_won")),
            ("SHA-256", t.text("sha256")),
        )
    ),
    t.by_field("number"),
    t.by_field("number"),
    INVOICES.fields,
    card=True,
)
INVOICE_LINES = Sheet(
    (
        Column("PROJECT", t.text("project"), folds=True),
        Column("FLAVOR", t.text("flavor")),
        Column("TIER", t.text("tier")),
        Column("GPU-HOURS", t.text("gpu_hours"), right=True),
        Column("LIST/GPU-H", t.won("list_won_per_gpu_hour"), right=True),
        Column("x TIER", t.text("tier_factor"), right=True),
        Column("x CLASS", t.text("class_factor"), right=True),
        Column("LIST", t.won("list_won"), right=True),
        Column("PRODUCT", t.won("product_won"), right=True),
        Column("PAID BY FUND", t.won("funder_won"), right=True),
        Column("DISCOUNT", t.won("discount_won"), right=True),
        Column("TENANT", t.won("tenant_won"), right=True),
    ),
    t.by_field("number"),
    t.by_field("project"),
    (),
)
CHECKS = Sheet(
    (
        Column("", lambda row, view: "✓" if row.ok else "✗"),
        Column("CHECK", t.text("name")),
        Column("DETAIL", t.text("detail"), folds=True),
    ),
    t.by_field("name"),
    t.by_field("name"),
    t.fields_of(bodies.CheckBody),
)
BLOCKERS = Sheet(
    (
        Column("", t.text("reason")),
        Column("", t.text("sentence"), folds=True),
        Column("", lambda row, view: f"who can act: {row.actor}"),
    ),
    t.by_field("reason"),
    t.by_field("reason"),
    t.fields_of(bodies.BlockerBody),
)
CONTEXTS = Sheet(
    (
        Column("", lambda row, view: "*" if row.current else ""),
        Column("NAME", t.text("name")),
        Column("SERVER", t.text("server"), folds=True),
        Column("ORG", t.text("org"), leaves=2),
        Column("PROJECT", t.text("project"), leaves=3),
        Column("USER", t.text("user"), leaves=1),
    ),
    t.by_field("name"),
    t.by_field("name"),
    ("name", "server", "org", "project", "user", "current"),
    empty="no contexts yet: dure login --server URL makes one",
)
SETTINGS = Sheet(
    (Column("SETTING", t.text("name")), Column("VALUE", t.text("value"), folds=True)),
    t.by_field("name"),
    t.by_field("name"),
    ("name", "value", "origin"),
)
SETTINGS_ORIGIN = Sheet(
    (*SETTINGS.columns, Column("FROM", t.text("origin"), folds=True)),
    t.by_field("name"),
    t.by_field("name"),
    ("name", "value", "origin"),
)
DOCTOR = Sheet(
    (
        Column("", t.text("result")),
        Column("CHECK", t.text("check")),
        Column("DETAIL", t.text("detail"), folds=True),
        Column("FIX", lambda row, view: row.fix, folds=True),
    ),
    t.by_field("check"),
    t.by_field("check"),
    ("result", "check", "detail", "fix"),
)
CODES = Sheet(
    (Column("CODE", t.text("code")), Column("TITLE", t.text("title"), folds=True)),
    t.by_field("code"),
    t.by_field("code"),
    ("code", "title", "explanation", "example"),
)
WHY = Sheet(
    t.note((("Job", t.text("job")), ("State", t.text("state")), ("Summary", t.text("summary")))),
    t.by_field("job"),
    t.by_field("job"),
    t.fields_of(bodies.WhyBody),
    card=True,
)
VERSION = Sheet(
    (Column("VERSION", t.text("version")),),
    t.by_field("version"),
    t.by_field("version"),
    ("version", "python", "platform"),
)
TASK_BODY = Sheet((), t.by_field("name"), t.by_field("name"), t.fields_of(bodies.TaskBody))
