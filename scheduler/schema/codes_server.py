"""Codes of 80xx server, network and operator, 90xx internal."""

from __future__ import annotations

from scheduler.schema.codes_entry import Code

_LEDGER = " The ledger only grows: its rows are never edited, mistakes are reversed and booked anew."
_RESTORE = "restore the ledger from a copy made before"

SERVER_CODES: dict[str, Code] = {
    "DURE-8001": Code(
        "server unreachable",
        "No connection to the server could be made, after several tries. Nothing is known to have changed; a"
        " submission may be repeated with the same key.",
        "dure doctor",
    ),
    "DURE-8002": Code(
        "server too slow",
        "The server did not answer in time. What was asked may have happened; repeating it is safe.",
        "dure queue",
    ),
    "DURE-8003": Code(
        "answer not understood",
        "The answer is not what a Dure server of this version says. Something else may be at this address, such as a"
        " proxy, or the versions are too far apart.",
        "dure version",
    ),
    "DURE-8004": Code(
        "error without explanation",
        "The server, or something on the way to it, answered with an error and did not say why.",
        "dure doctor",
    ),
    "DURE-8005": Code(
        "attempt already archived",
        "An attempt whose usage is in the ledger was to be begun again. It is not: an attempt runs once.",
        "dure job get JOB",
    ),
    "DURE-8006": Code(
        "bad name from the control plane",
        "The operator was given a name that is no attempt's or no folder's. It does nothing with it.",
        "compare versions: dure doctor",
    ),
    "DURE-8007": Code(
        "GPUs not free yet",
        "The GPUs of this attempt are still held by one that is ending. The operator tries again.",
        "wait",
    ),
    "DURE-8008": Code(
        "operator cannot write", "The operator's data folder cannot be written. It tries again.", "df -h DATA"
    ),
    "DURE-8009": Code(
        "waited too long",
        "What the command waited for has not happened in the time given. It may still happen.",
        "dure period close PERIOD",
    ),
    "DURE-8010": Code("server not ready", "The server has started and is not ready to answer yet.", "GET /readyz"),
    "DURE-8011": Code(
        "server busy", "The server has as many requests in hand as it takes. Try again in a moment.", "Retry-After: 1"
    ),
    "DURE-8020": Code(
        "database unavailable",
        "The database did not take the write or could not be reached. Nothing was changed; the same call may succeed"
        " later.",
        "GET /readyz",
    ),
    "DURE-8021": Code(
        "database unusable",
        "The database is not one that this version can work with: its tables are missing, newer, or not writable.",
        "dure serve --migrate",
    ),
    "DURE-8022": Code(
        "bad database address",
        "The database's URL cannot be read, is of an unknown kind, or names a file that cannot be opened.",
        "postgresql://dure@db.example/dure",
    ),
    "DURE-8023": Code(
        "database newer than the program",
        "A newer version of Dure has migrated this database. An older one would misread it and does not try.",
        "run the newer version",
    ),
    "DURE-8024": Code(
        "database older than the program",
        "The database's tables are of an older version and this process is not allowed to migrate them.",
        "start one process with migration allowed",
    ),
    "DURE-8025": Code(
        "database damaged",
        "The database file does not hold together. Dure does not start on it, because it would book on sand.",
        "restore it from a backup",
    ),
    "DURE-8026": Code(
        "database server too old", "The PostgreSQL server is older than Dure supports.", "use PostgreSQL 15 or newer"
    ),
    "DURE-8027": Code(
        "database was restored elsewhere",
        "The database comes from another PostgreSQL cluster, whose transaction numbers mean nothing here. One start"
        " with migration allowed sets them anew.",
        "start one process with migration allowed",
    ),
    "DURE-8028": Code(
        "database of an unreleased version",
        "The database lacks tables or columns that its schema version has: it was made before the first release, while"
        " that version was still being written.",
        "start with a new database",
    ),
    "DURE-8030": Code(
        "log full",
        "A rank's log has reached the size that is kept. The job goes on; what it prints from here on is not kept.",
        "write large outputs to the checkpoint folder",
    ),
    "DURE-8031": Code(
        "package damaged",
        "A stored package no longer has the content that its name says. It is put aside and not handed out. Sent again,"
        " it is whole.",
        "submit the job again",
    ),
    "DURE-8032": Code(
        "folder in use",
        "Another process of Dure uses this folder; two would overwrite each other.",
        "stop the other one",
    ),
    "DURE-8033": Code("disk trouble", "A file cannot be written: the disk is full or does not answer.", "df -h DATA"),
    "DURE-8034": Code(
        "leftovers do not end",
        "Processes of an attempt whose files were lost do not end yet. The operator tries again.",
        "dure doctor",
    ),
    "DURE-8035": Code(
        "an attempt is begun after all",
        "The operator was about to report that an attempt never ran and found a supervisor at it. It looks again.",
        "dure job events JOB",
    ),
    "DURE-8040": Code(
        "Prometheus unreachable",
        "Prometheus cannot be reached or answers with an error. Only the comparison with the ledger needs it.",
        "curl http://HOST:9090/-/ready",
    ),
    "DURE-8041": Code(
        "query refused",
        "Prometheus refuses the query, or its address is none that can be used.",
        "DURE_PROMETHEUS_URL=http://HOST:9090",
    ),
    "DURE-8042": Code(
        "not a Prometheus", "What answers at the address of Prometheus is not understood.", "http://HOST:9090"
    ),
    "DURE-9001": Code(
        "mistake of Dure itself",
        "Something happened that must not happen. The log holds the details under the incident's id; nothing was"
        " written by the request that failed.",
        "tell the server's operator the incident's id",
    ),
    "DURE-9002": Code(
        "output lost",
        "The command did its work, and what it had to print could not be written: the disk is full, or the output was"
        " closed. A change that was made stays made; the message names it where it can.",
        "dure queue",
    ),
    "DURE-9041": Code(
        "impossible times",
        "The instants of an attempt contradict each other, such as an end before the beginning. Nothing is charged"
        " for what cannot have been.",
        "dure job events JOB",
    ),
    "DURE-9042": Code(
        "end not observed",
        "An attempt is gone and not lost, and no end of one of its ranks was reported; it is charged until the attempt"
        " was gone.",
        "dure job events JOB",
    ),
    "DURE-9043": Code(
        "ranks differ from the placement",
        "What a cluster reports to have run is not what was placed. What was placed is what counts.",
        "dure job events JOB",
    ),
    "DURE-9044": Code(
        "no price",
        "A slice of usage has no price: its rate card lacks the flavor, or its policy the class. It is not booked"
        " until there is one.",
        "dure policy show",
    ),
    "DURE-9045": Code("unbalanced transaction", "The entries of a transaction do not sum to zero." + _LEDGER, _RESTORE),
    "DURE-9046": Code("gap in the ledger", "A number of the ledger's gapless sequence is missing." + _LEDGER, _RESTORE),
    "DURE-9047": Code("booked twice", "Two transactions have the same key." + _LEDGER, _RESTORE),
    "DURE-9048": Code("malformed transaction", "A transaction has no such form." + _LEDGER, _RESTORE),
    "DURE-9049": Code("bad reversal", "A reversal is not the opposite of an earlier transaction." + _LEDGER, _RESTORE),
    "DURE-9050": Code(
        "invoice cannot be made",
        "What the invoice is to be made of contradicts itself, so none is issued.",
        "dure invoice verify NUMBER",
    ),
    "DURE-9051": Code(
        "too much for one invoice",
        "An organisation has more usage in one period than one invoice is made of. None is made of a part: the period"
        " stays open until the limit is raised.",
        "dure period list",
    ),
    "DURE-9060": Code(
        "PDF is another",
        "The same renderer has made other bytes of this document than those that were handed out before. Its text or a"
        " file of the installation was changed; nothing is handed out until it is known which.",
        "dure invoice verify NUMBER",
    ),
}
