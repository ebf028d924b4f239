"""How each command is called in the golden transcripts: one row a command, and a test that no row is missing.

Whoever adds a command adds its row here and runs the tests with DURE_UPDATE_GOLDEN=1: the transcript has the command in
every shape that its ``-o`` takes, and every refusal of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.unit.cli.small_world import POLICY

TASK = """\
name: llm-sft
project: hanul-ai/nlp
resources: {gpus: "h100:4", nodes: 2, time: 12h}
run: python train.py
"""
FILES = {
    "task.yaml": TASK,
    "wrong.yaml": TASK.replace("h100:4", "H10O:4").replace("12h", "12"),
    "policy.yaml": POLICY.replace("weight: 40", "weight: 45"),
    "wrong-policy.yaml": POLICY.replace("weight: 40", "weight: heavy"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A command line without ``dure``; each shape of its ``-o`` is tried, and then what else it is asked for.

    line: None where the command runs until it is stopped. user: whose token is used; "" for nobody's. changes: what it
    does changes the world (or the settings), so that each call meets a new one. here: its data come from the command
    line itself and not from the API. more: further calls that are shown once, as they are.
    """

    line: str | None
    refused: tuple[str, ...]
    user: str = "kim"
    changes: bool = False
    here: bool = False
    more: tuple[str, ...] = ()
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


PROPOSED = "a6k5rztke2zv"
LONELY = "--server http://127.0.0.1:1 --context none"
JOBS = {
    "submit": Row(
        "submit task.yaml --name fresh --hold",
        (
            "submit wrong.yaml",
            "submit none.yaml",
            "submit task.yaml --nodes 5",
            "submit task.yaml --gpus h200:1",
            "submit task.yaml --project seohae/vision",
            "submit task.yaml --wait-timeout 3s",
            "submit",
        ),
        changes=True,
        more=("submit task.yaml --dry-run -o json", "submit --gpus a100:1 --tier borrow --dry-run -- python train.py"),
    ),
    "init": Row(
        "init first", ("init --gpus h100", "init --template none", "init --project nlp"), changes=True, here=True
    ),
    "check": Row("check task.yaml", ("check wrong.yaml", "check none.yaml", "check wrong.yaml -o json"), here=True),
    "queue": Row(
        "queue --all",
        (
            "queue --state Sleeping",
            "queue --org hanul-ai --project seohae/vision",
            "queue --limit 0",
            "queue --watch 0",
            "queue --watch -o csv",
            "queue --until-empty",
        ),
        more=("queue", "queue --state Queued", "queue --user nobody"),
    ),
    "job wait": Row(
        "job wait tokenize",
        (
            "job wait none-of-mine",
            "job wait ablation",
            "job wait typo",
            "job wait llm-sft --wait-timeout 3s",
            "job wait tokenize --wait-timeout 3",
        ),
        changes=True,
    ),
    "why": Row("why llm-sft", ("why none-of-mine", "why ../x"), more=("why pretrain", "why typo")),
    "logs": Row("logs tokenize", ("logs none-of-mine", "logs tokenize --rank 3", "logs tokenize --attempt 9")),
    "cancel": Row("cancel llm-sft", ("cancel none-of-mine", "cancel llm-sft pretrain"), changes=True),
    "job get": Row("job get pretrain", ("job get none-of-mine",), more=("job get ablation",)),
    "job events": Row("job events tokenize", ("job events none-of-mine",)),
    "job artifacts": Row(
        "job artifacts tokenize",
        (
            "job artifacts none-of-mine",
            "job artifacts tokenize --attempt 9",
            "job artifacts tokenize --get none --to x",
        ),
        more=("job artifacts pretrain",),
    ),
    "job hold": Row("job hold llm-sft", ("job hold pretrain", "job hold none-of-mine"), changes=True),
    "job release": Row("job release sweep", ("job release tokenize",), user="lee", changes=True),
}
SHARES = {
    "gpus": Row("gpus", ("gpus --all",), more=()),
    "quota": Row("quota", ("quota --org seohae", "quota --flavor h200")),
    "usage": Row(
        "usage",
        ("usage --since yesterday", "usage --org hanul-ai --project seohae/vision", "usage --by colour"),
        user="audit",
        more=("usage --by project,day", "usage --by user,tier -o csv"),
    ),
    "fairness report": Row(
        "fairness report --period manual-0001",
        ("fairness report --period manual-0009", "fairness report --period manual-0001 --since 7d"),
        user="audit",
        more=("fairness report --period manual-0001 --public",),
    ),
}
IDENTITY = {
    "login": Row(
        "login --as seoul --token-stdin",
        ("login --token-stdin", "login", "login --as ../x"),
        user="",
        changes=True,
        stdin="{token}",
    ),
    "logout": Row("logout", (f"{LONELY} logout",)),
    "whoami": Row("whoami", ("whoami --all",)),
    "token create": Row(
        "token create --note 노트북 --expires 30d",
        ("token create --expires 1s", "token create --user lee"),
        changes=True,
    ),
    "token list": Row("token list", ("token list --all",), user="admin"),
    "token revoke": Row("token revoke k3v9", ("token revoke none",), user="admin", changes=True),
    "context list": Row("context list", ("context list --all",), here=True, env={"CONTEXTS": "2"}),
    "context use": Row(
        "context use busan --project hanul-ai/nlp",
        ("context use none", "context use busan --org ../x"),
        here=True,
        changes=True,
        env={"CONTEXTS": "2"},
    ),
    "context add": Row(
        "context add daegu --server https://daegu.example.org",
        ("context add daegu", "context add ../x --server https://daegu.example.org"),
        here=True,
        changes=True,
        env={"CONTEXTS": "2"},
    ),
    "context rm": Row("context rm busan", ("context rm none",), here=True, changes=True, env={"CONTEXTS": "2"}),
    "config show": Row("config show --origin", ("config show --context none",), here=True, more=("config show",)),
}
ADMINISTRATION = {
    "policy lint": Row(
        "policy lint policy.yaml",
        ("policy lint wrong-policy.yaml", "policy lint policy.yaml --capacity h200=1", "policy lint none.yaml"),
        here=True,
    ),
    "policy apply": Row(
        'policy apply policy.yaml --reason "C-205"',
        ("policy apply wrong-policy.yaml",),
        user="admin",
        changes=True,
    ),
    "policy diff": Row(
        "policy diff policy.yaml",
        ("policy diff wrong-policy.yaml", "policy diff 1 9", "policy diff none.yaml"),
        user="admin",
        more=("policy diff 1 1",),
    ),
    "policy history": Row("policy history", ("policy history --limit 0",), user="admin"),
    "policy rollback": Row(
        'policy rollback 1 --reason "C-206"',
        ("policy rollback 1", 'policy rollback 9 --reason "C-206"'),
        user="admin",
        changes=True,
    ),
    "policy show": Row("policy show", ("policy show 9", "policy show 0"), user="admin", more=("policy show --text",)),
    "org create": Row(
        "org create areum --class university --title '아름대학교'",
        ("org create Areum --class university", "org create areum --class startup", "org create areum"),
        user="admin",
        changes=True,
    ),
    "org list": Row("org list", ("org list --all",), user="admin"),
    "org show": Row("org show hanul-ai", ("org show seohae",)),
    "project create": Row(
        "project create hanul-ai/speech --title '음성 인식'",
        ("project create speech", "project create seohae/speech"),
        user="lee",
        changes=True,
    ),
    "project list": Row("project list", ("project list --org ../x",), user="admin"),
    "member add": Row(
        "member add choi --scope project:hanul-ai/nlp",
        ("member add choi --scope nlp", "member add Choi --scope project:hanul-ai/nlp", "member add choi --scope all"),
        user="lee",
        changes=True,
    ),
    "member remove": Row(
        "member remove kim --scope project:hanul-ai/nlp",
        ("member remove choi --scope project:hanul-ai/nlp",),
        user="lee",
        changes=True,
    ),
    "member list": Row("member list", ("member list --scope nlp",), user="admin"),
}
MONEY = {
    "period list": Row("period list", ("period list --all",), user="admin"),
    "period close": Row(
        "period close manual-0002 --yes --wait-timeout 5s",
        ("period close", "period close manual-0009 --yes"),
        user="admin",
        changes=True,
        more=("period close manual-0001",),
    ),
    "invoice list": Row("invoice list", ("invoice list --period ../x",), user="audit"),
    "invoice get": Row("invoice get DURE-2026-000001", ("invoice get DURE-2026-000002",), user="lee"),
    "invoice export": Row(
        "invoice export --period manual-0001 --to written --no-pdf",
        ("invoice export --period manual-0009 --to written", "invoice export --period manual-0001 --to written"),
        user="audit",
        here=True,
    ),
    "credit propose": Row(
        'credit propose DURE-2026-000001 --reason 02 --explanation "a node was slow" --line 1=0.25',
        (
            'credit propose DURE-2026-000001 --reason 02 --explanation "x" --line 1=900',
            'credit propose DURE-2026-000001 --reason 99 --explanation "x"',
            'credit propose DURE-2026-000009 --reason 06 --explanation "x"',
        ),
        user="admin",
        changes=True,
    ),
    "credit approve": Row(
        f"credit approve {PROPOSED} --yes",
        ("credit approve none --yes", f"credit approve {PROPOSED}"),
        user="yoon",
        changes=True,
    ),
    "credit list": Row("credit list", ("credit list --invoice ../x",), user="audit"),
    "credit get": Row(
        "credit get DURE-CN-2026-000001", ("credit get none",), user="audit", more=(f"credit get {PROPOSED}",)
    ),
    "credit verify": Row("credit verify DURE-CN-2026-000001", ("credit verify none",), user="audit"),
    "invoice verify": Row("invoice verify DURE-2026-000001", ("invoice verify none",), user="audit"),
}
RUNNING = {
    "up": Row(None, ("up --gpus h100-80g", "up --gpus h100-80g=1x4 --port 99999"), here=True),
    "serve": Row(None, ("serve --database oracle://x", "serve --port x"), here=True),
}
HELP = {
    "doctor": Row("doctor", (f"{LONELY} doctor",), here=True),
    "explain": Row("explain DURE-2101", ("explain 9999",), here=True),
    "help": Row(
        "help task.resources",
        ("help taks", "help task.dependencies"),
        here=True,
        more=("help job get", "help slurm", "help output", "help environment", "help exit-codes", "help task.image"),
    ),
    "template list": Row("template list", ("template list --all",), here=True),
    "template show": Row(
        "template show script", ("template show none",), here=True, more=("template show script --file .dureignore",)
    ),
    "skill": Row("skill", ("skill --all",), here=True),
    "completion": Row("completion bash", ("completion tcsh",), here=True),
    "version": Row("version", ("version --all",), here=True),
}
ROWS: dict[str, Row] = {**JOBS, **SHARES, **IDENTITY, **ADMINISTRATION, **MONEY, **RUNNING, **HELP}
