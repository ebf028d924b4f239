"""Codes 10xx: usage, client, settings and requests."""

from __future__ import annotations

from scheduler.schema.codes_entry import Code

USAGE_CODES: dict[str, Code] = {
    "DURE-1001": Code(
        "wrong usage",
        "The command was called with arguments that it does not take, or with a value that cannot be meant."
        " Nothing was sent and nothing was changed.",
        "dure submit --help",
    ),
    "DURE-1002": Code(
        "unknown command",
        "There is no command of this name. Commands are verbs for daily work (submit, queue, why, logs, cancel) and"
        " a noun with a verb for the rest (policy apply, invoice list).",
        "dure --help",
    ),
    "DURE-1003": Code(
        "unknown option",
        "The command does not have this option. Options mean the same in every command; the nearest one is named.",
        "dure queue --help",
    ),
    "DURE-1004": Code(
        "file not readable",
        "A file that was named does not exist, may not be read, is too large, or is not UTF-8 text.",
        "ls -l train.yaml",
    ),
    "DURE-1005": Code(
        "no server chosen",
        "The command needs a Dure server and none was named: not by --server, by DURE_SERVER, by a project file"
        " or by a context.",
        "dure context add pool --server https://dure.example",
    ),
    "DURE-1006": Code(
        "unknown context",
        "The context that was chosen by a flag, the environment or the configuration file is not in the"
        " configuration file. The message says where the name came from.",
        "dure context list",
    ),
    "DURE-1007": Code(
        "consent needed",
        "The command asks before it changes something, and here it may not ask: --no-input was given, or the input"
        " is no terminal.",
        "dure cancel JOB --yes",
    ),
    "DURE-1008": Code(
        "bad value of an option",
        "An option has a value of the wrong form, such as a time without a unit or an unknown state."
        " The message names the option and the form that it takes.",
        "dure usage --since 2026-11-01",
    ),
    "DURE-1009": Code(
        "no project chosen",
        "The command needs a project and none was named: not by --project, by DURE_PROJECT, by a project file"
        " or by a context. A project is written ORG/PROJECT.",
        "dure submit train.yaml --project hanbit-ai/nlp",
    ),
    "DURE-1010": Code(
        "bad Idempotency-Key",
        "POST /jobs needs a key of 1 to 128 printable characters that the client makes anew for every submission."
        " The same key with the same body gives the same job, however often it is sent.",
        "Idempotency-Key: 0f8fad5b-d9cb-469f-a165-70867728950e",
    ),
    "DURE-1011": Code(
        "Idempotency-Key used twice",
        "This key was sent before with another task. To repeat a submission send the very same body; for a new job"
        " make a new key. Nothing was submitted.",
        "send a new UUID",
    ),
    "DURE-1020": Code(
        "work directory too large",
        "The work directory is larger than a package may be, or holds too many files. Data belongs into storage that"
        " the job reads; what the job does not need can be left out.",
        "echo 'data/' >> .dureignore",
    ),
    "DURE-1021": Code(
        "link out of the work directory",
        "A link in the work directory leads outside of it. Following it would send files that nobody meant to send,"
        " so the package is not made.",
        "echo 'datasets-link' >> .dureignore",
    ),
    "DURE-1022": Code(
        "unreadable file",
        "A file or folder of the work directory cannot be read, so the package would not be what you have.",
        "chmod u+r FILE",
    ),
    "DURE-1023": Code(
        "bad file name",
        "A file name in the work directory is not printable UTF-8 or too long; it could not be unpacked everywhere.",
        "mv 'bad name' good-name",
    ),
    "DURE-1024": Code(
        "no work directory",
        "The work directory does not exist, is no folder, or is a folder that is never sent whole, such as the home"
        " directory.",
        "workdir: .",
    ),
    "DURE-1025": Code(
        "nothing to send",
        "The work directory holds no file that travels: it is empty, or ignore files (also those of the repository"
        " around it) and the rules for secrets leave everything out. The job would find nothing to run.",
        "echo '!*' >> .dureignore",
    ),
    "DURE-1030": Code(
        "bad configuration file",
        "The configuration file cannot be read or written, or holds something it should not. The message names the"
        " place. Dure does not guess what was meant.",
        "dure config show --origin",
    ),
    "DURE-1031": Code(
        "bad credentials file",
        "The credentials file cannot be read, or others may read it. Tokens in a file that others can read are"
        " refused, because they must be taken for stolen.",
        "chmod 600 ~/.config/dure/credentials.json",
    ),
    "DURE-1032": Code(
        "unknown server in dure.yaml",
        "The project's file names a server that you have never used. A file that came with somebody's folder may not"
        " choose where your commands and your token go.",
        "dure context add NAME --server URL",
    ),
    "DURE-1040": Code(
        "request not valid",
        "The body or the parameters of the request do not have the form that the API takes. Every mistake is listed"
        " with its place in the body.",
        "see /openapi.json",
    ),
    "DURE-1041": Code("body not readable", "The body of the request is not JSON in UTF-8.", 'send {"name": "train"}'),
    "DURE-1042": Code(
        "body too large",
        "The body is larger than this address takes. Packages may have 64 MiB, most other bodies far less.",
        "leave large files out of the work directory",
    ),
    "DURE-1043": Code(
        "body too slow",
        "The body did not arrive within the time that one request may take. The connection was given up so that"
        " others are served.",
        "send it again",
    ),
    "DURE-1044": Code(
        "bad cursor",
        "The cursor is not one that a list has answered, or it belongs to another list. Cursors are opaque: send back"
        " what `next` held.",
        "GET /api/v1/jobs?cursor=NEXT",
    ),
    "DURE-1045": Code(
        "method not allowed", "There is something at this address, but not for this method.", "see /openapi.json"
    ),
    "DURE-1046": Code(
        "too much usage at once",
        "The question is about more usage than one answer adds up. Nothing is left out silently: ask for a shorter"
        " time, one organisation or one project.",
        "dure usage --project hanbit-ai/nlp --since 7d",
    ),
    "DURE-1050": Code(
        "bad setting",
        "A setting of the server has a wrong name or value. Settings are environment variables that begin with DURE_"
        " and options of `dure serve` and `dure up`; the message says where the value came from.",
        "DURE_LOG_LEVEL=info",
    ),
    "DURE-1051": Code(
        "cannot listen",
        "The server cannot use the address or port: another program has it, or it is not one of this machine.",
        "dure up --port 0",
    ),
    "DURE-1052": Code(
        "data folder unusable",
        "The folder for the server's data cannot be made or written.",
        "dure up --data ~/dure-data",
    ),
    "DURE-1053": Code(
        "data folder in use",
        "Another `dure up` runs on the same data folder. Two of them would decide about the same GPUs.",
        "dure up --data another-folder",
    ),
    "DURE-1054": Code(
        "bad GPUs of this machine",
        "`dure up --gpus` takes FLAVOR=NODESxGPUS, once for each flavor of the policy.",
        "dure up --gpus h100-80g=2x4 --gpus a100-80g=1x4",
    ),
    "DURE-1055": Code(
        "part not installed",
        "The command needs a part of Dure that is not installed: the command line alone is small, server, operator and"
        " local backend are extras.",
        "pip install 'dure[all]'",
    ),
}
