"""Codes of 20xx refused by policy or quota, 30xx not found, 40xx login and permission, 60xx conflict."""

from __future__ import annotations

from scheduler.schema.codes_entry import Code

_REPEAT = "The same thing was changed at the same moment by somebody else, so nothing was written."

RUN_CODES: dict[str, Code] = {
    "DURE-2100": Code(
        "no policy in force",
        "Nothing can be shared before a policy says how. An administrator applies the first one.",
        "dure policy apply policy.yaml --reason 'first policy'",
        why="nothing can be shared before a policy says how",
    ),
    "DURE-2101": Code(
        "too many GPUs for one job",
        "The gang (nodes times GPUs on each) is larger than the policy lets one job be. The limit keeps one job from"
        " standing in everybody's way.",
        "resources: {gpus: 'h100:8', nodes: 8}",
        why="one job must not stand in everybody's way",
    ),
    "DURE-2102": Code(
        "time limit too long",
        "The task's time limit is above the policy's. Write checkpoints and let the job go on in a further attempt.",
        "resources: {time: 7d}",
        why="GPUs come free for others in time, and a job goes on from its checkpoint in a further attempt",
    ),
    "DURE-2103": Code(
        "too many waiting jobs",
        "The project already has as many waiting jobs as the policy allows. Jobs that run do not count.",
        "dure queue --project hanbit-ai/nlp",
        why="a line that long hides what the others wait for",
    ),
    "DURE-2104": Code(
        "tier not offered",
        "None of the tiers that the task accepts is offered to its class.",
        "tier: [guaranteed, borrow]",
        reserved=True,
    ),
    "DURE-2105": Code(
        "organisation not verified",
        "Only verified organisations start jobs. One that has applied waits for an administrator; one that is"
        " suspended finishes what runs and starts nothing new.",
        "dure org get hanbit-ai",
        why="only organisations that were verified start jobs",
    ),
    "DURE-2106": Code(
        "organisation does not fit",
        "With this organisation its class would guarantee more than it has. An administrator changes the policy, or"
        " gives the organisation an override without a guarantee.",
        "overrides: [{org: hanbit-ai, guarantee: {}}]",
        why="what a class guarantees to its organisations it must have",
    ),
    "DURE-2110": Code(
        "log full",
        "A rank's log has reached the size that is kept. The job goes on; what it prints from here on is not kept.",
        "print less, or write to files of your own",
    ),
    "DURE-2120": Code(
        "policy changed meanwhile",
        "Somebody else put another policy in force after the difference was shown, so what was agreed to would now undo"
        " their change unseen. Look at the difference again, and decide again.",
        "dure policy diff policy.yaml",
    ),
    "DURE-3000": Code(
        "nothing at this address",
        "The API has no such address; its addresses are listed in /openapi.json.",
        "see /openapi.json",
    ),
    "DURE-3001": Code(
        "no such job",
        "There is no job of this id or name that you may see. Names find your own newest job; ids find any job of"
        " your projects.",
        "dure queue --all",
    ),
    "DURE-3002": Code(
        "no such project",
        "There is no project of this name that you may see. Projects are written ORG/PROJECT.",
        "dure project list",
    ),
    "DURE-3003": Code(
        "no such organisation", "There is no organisation of this name that you may see.", "dure org list"
    ),
    "DURE-3004": Code("no such member", "The user does not have this role in this scope.", "dure member list"),
    "DURE-3005": Code(
        "no such token",
        "You have no token of this id. Its id is the first part of a token, before the second underscore.",
        "dure token list",
    ),
    "DURE-3006": Code("no such policy", "There is no policy of this version, or none at all yet.", "dure policy show"),
    "DURE-3007": Code("no such period", "There is no billing period of this id, or none is open.", "dure period list"),
    "DURE-3008": Code("no such invoice", "There is no invoice of this number that you may read.", "dure invoice list"),
    "DURE-3009": Code(
        "no such package",
        "The server does not have a package with this SHA-256. Packages are sent before the task that names them.",
        "dure submit train.yaml",
    ),
    "DURE-3010": Code("no such attempt", "The job had no attempt of this number.", "dure job get JOB"),
    "DURE-3011": Code(
        "no such code", "There is no error code of this number in this version.", "dure explain DURE-1104"
    ),
    "DURE-3030": Code(
        "no such member of an array",
        "The array has no job of this index, or the job is no array at all. A member is written NAME[3] or NAME.3.",
        "dure queue --all --expand --name ablate",
    ),
    "DURE-3031": Code(
        "no such artifact",
        "The attempt has handed over no file of this number, or not all of its bytes have arrived yet.",
        "dure job artifacts JOB",
    ),
    "DURE-3032": Code(
        "no artifact fits the pattern",
        "No file that the attempt has handed over, and that has arrived, has such a path. * stands for any letters, the"
        " slash included.",
        "dure job artifacts JOB --get '*.json' --to results",
    ),
    "DURE-3020": Code(
        "no PDFs here",
        "PDFs are made by typst, an extra of Dure that is not installed where the server runs. The invoice itself is"
        " its canonical text, which every server gives; a PDF is a picture of it.",
        "pip install 'dure[pdf]'",
    ),
    "DURE-3022": Code(
        "no such credit",
        "There is no credit note of this number and no proposal of this id that you may read.",
        "dure credit list",
    ),
    "DURE-4001": Code(
        "login needed",
        "The request had no valid token: none at all, one that was withdrawn, or one of another server.",
        "dure login",
    ),
    "DURE-4002": Code(
        "token expired", "The token was valid until a time that is over. Log in again.", "dure token create"
    ),
    "DURE-4003": Code(
        "not permitted",
        "Your roles do not allow this. Nobody has a role that was not given by name; the message says whom to ask.",
        "dure whoami",
    ),
    "DURE-4004": Code(
        "wrong host",
        "The request names a host that this server does not answer for, which is how a page of another site would"
        " reach into a local server.",
        "use the address that the server prints when it starts",
    ),
    "DURE-6001": Code("changed at the same moment", _REPEAT + " Trying again is safe.", "run the command again"),
    "DURE-6002": Code(
        "wrong state for this",
        "What was asked is only possible in another state: a queued job can be held, a held one released.",
        "dure job get JOB",
    ),
    "DURE-6010": Code(
        "two observations of one thing",
        "A cluster reported the same observation twice with different contents. The first one counts.",
        "dure doctor",
    ),
    "DURE-6011": Code(
        "unknown attempt",
        "A cluster reports an attempt that was never given to it. It is not booked; somebody should look.",
        "dure doctor",
    ),
    "DURE-6012": Code(
        "report after the end",
        "A cluster reports something about an attempt that it had already proven gone. It is not booked.",
        "dure doctor",
    ),
    "DURE-6013": Code(
        "clocks apart",
        "A cluster's clock is more than five seconds away from the control plane's. Usage is measured on the"
        " cluster's own clock, so lengths are right, but instants are not comparable.",
        "timedatectl status",
    ),
    "DURE-6014": Code(
        "unknown word from a cluster",
        "A cluster's operator used a reason or an evidence that this version does not know; it may be newer. The rest"
        " of its report counts.",
        "dure version",
    ),
    "DURE-6015": Code(
        "watermark ahead of time",
        "A cluster vouches for having observed time that has not passed yet. Usage is billed up to the watermark, so it"
        " counts only as far as the cluster's clock, and never more than five seconds ahead of the control plane's.",
        "timedatectl status",
    ),
    "DURE-6016": Code(
        "report from the future",
        "A cluster reports something for an instant that is more than five seconds ahead of the control plane's clock."
        " It is kept as reported and booked as of now.",
        "timedatectl status",
    ),
    "DURE-6017": Code(
        "report behind the watermark",
        "A cluster reports something of an attempt for an instant up to which it had reported everything. Usage up to"
        " there may be in the ledger already, and what is in the ledger stays as it is.",
        "dure job events JOB",
    ),
    "DURE-6020": Code(
        "organisation exists",
        "There is an organisation of this name with other data. Names are never used twice.",
        "dure org list",
    ),
    "DURE-6021": Code(
        "last administrator",
        "Without an administrator nobody could name one. Name another first.",
        "dure member add lee --role admin --scope all",
    ),
    "DURE-6022": Code(
        "invoice damaged",
        "The stored text of an invoice is no invoice any more, so it cannot be shown in another form. Verifying it says"
        " what is wrong.",
        "dure invoice verify NUMBER",
    ),
    "DURE-6030": Code(
        "period not over",
        "A calendar month is closed after its end, so that nothing is invoiced twice or too early.",
        "dure period list",
    ),
    "DURE-6040": Code(
        "ledger and Prometheus apart",
        "The usage in the ledger and the one that Prometheus saw differ by more than sampling explains. The ledger is"
        " the truth; mostly Prometheus or an operator was down for a while.",
        "dure doctor",
    ),
    "DURE-6041": Code(
        "attempt gone",
        "An attempt says that it has saved its work, and it has ended already: its report came too late. A later"
        " attempt of the job finds what was saved all the same.",
        "dure job events JOB",
    ),
    "DURE-6070": Code(
        "one job of an array is needed",
        "The name is that of a whole array, and this can be done with one job only. A member is written NAME[3] or"
        " NAME.3, by the array's name or its id.",
        "dure logs -f ablate[3]",
    ),
    "DURE-6071": Code(
        "another file is there",
        "The folder already holds a file of this name with other contents. It is not replaced.",
        "dure job artifacts JOB --get --to another-folder",
    ),
    "DURE-6072": Code(
        "artifacts listed twice",
        "A cluster listed other artifacts for an attempt than it had before. What an attempt hands over is what it left"
        " when it ended; the first list counts.",
        "dure doctor",
    ),
    "DURE-6073": Code(
        "artifact damaged",
        "The bytes that arrived do not have the SHA-256 that the cluster told when the attempt ended. Nothing of this"
        " file was kept.",
        "dure job artifacts JOB --get --to results",
    ),
    "DURE-6074": Code(
        "artifact does not arrive",
        "What an operator sent of an artifact did not arrive as it was sent. It sends it again, for an hour at most;"
        " then the file stays incomplete.",
        "dure job artifacts JOB",
    ),
    "DURE-6050": Code(
        "cannot be credited so",
        "A credit note takes back all that is left of an invoice (reasons 01 and 06), or leaves a smaller quantity of"
        " named lines (reason 02). It never exceeds what the invoice still stands for.",
        'dure credit propose NUMBER --reason 02 --explanation "a node was slow" --line 3=12.5',
    ),
    "DURE-6051": Code(
        "two people must agree",
        "Who proposes a credit note cannot approve it: money is given back only when two administrators agree.",
        "dure credit approve ID",
    ),
    "DURE-6052": Code(
        "credited since",
        "Another credit note of the invoice was issued after this was proposed, so what it would take off is not what"
        " was looked at. Propose it anew.",
        "dure credit list --invoice NUMBER",
    ),
    "DURE-6053": Code(
        "credit note damaged",
        "The stored text of a credit note is no credit note any more. Verifying it says what is wrong.",
        "dure credit verify NUMBER",
    ),
    "DURE-6054": Code(
        "invoice not recomputed",
        "The invoice does not follow from its slices any more, so no entries that reverse it exactly are known. Find"
        " out what was changed before anything is credited.",
        "dure invoice verify NUMBER",
    ),
    "DURE-6055": Code(
        "no open period",
        "A credit note is booked in an open billing period, and there is none.",
        "dure period list",
    ),
    "DURE-6056": Code(
        "file not written",
        "A file or folder that was named cannot be written. What was there before is unchanged.",
        "dure invoice export --period 2026-11 --to another-folder",
    ),
}
