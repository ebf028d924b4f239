"""Codes of 11xx task file, 12xx policy file and rate card, 13xx registry."""

from __future__ import annotations

from scheduler.schema.codes_entry import Code

FILE_CODES: dict[str, Code] = {
    "DURE-1101": Code(
        "task file not readable",
        "The file is larger than 256 KiB, is not UTF-8, or holds control characters that would hide what it says."
        " Save it as plain UTF-8 text.",
        "iconv -f CP949 -t UTF-8 task.yaml",
    ),
    "DURE-1102": Code(
        "task file is not YAML",
        "The text does not follow YAML's rules at the place that is named: mostly indentation, a missing quote or"
        ' bracket, or a ": " inside a text without quotes.',
        'run: "echo a: b"',
    ),
    "DURE-1103": Code(
        "YAML feature not read",
        "Dure reads plain YAML: fields, lists and texts. Anchors, aliases, tags, directives, several documents and"
        " very deep nesting make a file mean more than it shows, and are refused.",
        "write the value out where it is needed",
    ),
    "DURE-1104": Code(
        "unknown GPU flavor",
        "The flavor of the request is no flavor of the policy in force and no prefix of one. Flavors are compared"
        " without regard to case, so H100 finds h100-80g.",
        "dure gpus",
    ),
    "DURE-1105": Code(
        "ambiguous GPU flavor",
        "The flavor of the request is the beginning of more than one flavor's name. Write more of the name.",
        'gpus: "h100-80g:4"',
    ),
    "DURE-1106": Code(
        "bad GPU request",
        "A job asks for whole GPUs of one flavor on each node: FLAVOR:N with N from 1. Jobs without GPUs and"
        " fractions of a GPU are not accepted: the pool is shared in GPUs, and held GPUs are what is charged.",
        'resources: {gpus: "h100:4", nodes: 2}',
    ),
    "DURE-1107": Code(
        "package missing",
        "The task names a package of its work directory that the server does not have. The command line sends it"
        " before the task; another client must do so too.",
        "PUT /api/v1/packages/{sha256}",
    ),
    "DURE-1110": Code(
        "unknown field in the task file",
        "The task file has no field of this name. Unknown fields are refused rather than ignored, because a misspelt"
        " time limit that is ignored costs money.",
        "resources: {time: 12h}",
    ),
    "DURE-1111": Code(
        "given twice in the task file",
        "The same field or the same value stands twice, and only one could count.",
        "keep one of them",
    ),
    "DURE-1112": Code(
        "missing in the task file",
        "A complete task needs resources.gpus and run; an empty file says nothing.",
        "run: python train.py",
    ),
    "DURE-1113": Code(
        "wrong form in the task file",
        "A value does not have the form that its field takes. Values are read from their text: durations need a unit,"
        " whole numbers have plain digits, truth values are true or false.",
        "time: 12h",
    ),
    "DURE-1114": Code(
        "out of range in the task file",
        "A number, a duration or a text's length is outside of what the field takes, whatever the policy says.",
        "nodes: 4",
    ),
    "DURE-1115": Code(
        "not supported in the task file",
        "Other systems have this field and Dure knows its name, but does not do it. It is refused, because a job that"
        " runs without the secrets or the image it names would fail later and be charged.",
        "setup: uv pip install -r requirements.txt",
    ),
    "DURE-1116": Code(
        "reserved variable",
        "Dure sets DURE_ variables and Ray's address and token for every rank. A task that sets them would lie to its"
        " own code about its place in the gang.",
        "env: {MY_RANK_HINT: x}",
    ),
    "DURE-1117": Code(
        "task without project",
        "A job belongs to a project, written ORG/PROJECT: it decides in whose share the job runs and who pays."
        " Neither the file nor a flag, the environment or the context names one.",
        "project: hanbit-ai/nlp",
    ),
    "DURE-1201": Code(
        "policy file not readable",
        "The file is larger than 256 KiB, is not UTF-8, or holds control characters that would hide what it says.",
        "iconv -f CP949 -t UTF-8 policy.yaml",
    ),
    "DURE-1202": Code(
        "policy file is not YAML",
        "The text does not follow YAML's rules at the place that is named: mostly indentation, a missing quote or"
        ' bracket, or a ": " inside a text without quotes.',
        'reason: "ticket: C-204"',
    ),
    "DURE-1203": Code(
        "YAML feature not read",
        "Anchors, aliases, tags, directives and very deep nesting make a policy mean more than it shows to the people"
        " who agree on it, and are refused.",
        "write the value out where it is needed",
    ),
    "DURE-1204": Code(
        "unknown flavor in the policy",
        "A guarantee, a limit or a price names a flavor that the policy does not have. Flavors are written in full.",
        "flavors: {h100-80g: {exchange: 1.0}}",
    ),
    "DURE-1210": Code(
        "unknown field in the policy",
        "The document has no field of this name. Unknown fields are refused rather than ignored, because a misspelt"
        " limit that is ignored is no limit.",
        "limits: {max_time: 7d}",
    ),
    "DURE-1211": Code(
        "given twice in the policy", "The same field or name stands twice, and only one could count.", "keep one"
    ),
    "DURE-1212": Code(
        "missing in the policy",
        "The document lacks a field that has no default. Money and limits have none: each class says its price, each"
        " policy its limits.",
        "price: {of_list: 0.10, funder: MSIT}",
    ),
    "DURE-1213": Code(
        "wrong form in the policy",
        "A value does not have the form that its field takes. Decimals are read from their text, with at most six"
        " places (GPUs: three) and no exponent, so that no rounding of the machine enters the books.",
        "price: 0.4",
    ),
    "DURE-1214": Code(
        "out of range in the policy",
        "A number or a duration is outside of what the field takes: prices are parts of 1, amounts are not negative.",
        "tiers: {borrow: {price: 0.4}}",
    ),
    "DURE-1215": Code(
        "not supported in the policy",
        "The field or value is known and not available in this version. It is refused, because a policy that promises"
        " what is not done would be worse.",
        "isolation: shared",
    ),
    "DURE-1216": Code(
        "wrong documents",
        "A policy file holds exactly one document of kind Policy and any number of kind RateCard, in any order,"
        ' divided by "---" lines.',
        "kind: Policy",
    ),
    "DURE-1220": Code(
        "guarantee above its parent's",
        "What is guaranteed to children may not be more than what their parent is guaranteed: projects within their"
        " organisation, organisations within their class. Ends of leases count too.",
        "classes: {sme: {guarantee: {h100-80g: 80}}}",
    ),
    "DURE-1221": Code(
        "guarantees above the capacity",
        "The classes together guarantee more GPUs of a flavor than are registered. A guarantee that cannot be kept is"
        " none, so the policy is not applied.",
        "dure policy lint policy.yaml --capacity h100-80g=236",
    ),
    "DURE-1222": Code(
        "all weights are zero",
        "Weights say how siblings share; a sibling of weight 0 is served last. If all have weight 0, nothing says how"
        " to share.",
        "weight: 1",
    ),
    "DURE-1223": Code(
        "flavors overlap",
        "A node must be of one flavor. Where one flavor's labels are all among another's, a node could be of both.",
        "selector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}",
    ),
    "DURE-1225": Code(
        "lending limit above the guarantee",
        "Only what is guaranteed can be lent, so a lending limit above the guarantee says nothing and is probably"
        " meant otherwise. Without a lending limit all of the guarantee may be lent.",
        "{guarantee: {h100-80g: 60}, lending_limit: {h100-80g: 48}}",
    ),
    "DURE-1226": Code(
        "times crossed",
        "A task without a time limit gets limits.default_time, which may not be above limits.max_time.",
        "limits: {default_time: 12h, max_time: 7d}",
    ),
    "DURE-1227": Code(
        "unknown rate card",
        "The policy names a rate card that neither stands in the same file nor is known to the server.",
        "rate_card: ratecard-2026-2",
    ),
    "DURE-1228": Code(
        "flavor without price",
        "The rate card has no list price for a flavor of the policy, so its usage could not be charged.",
        "won_per_gpu_hour: {h100-80g: 2900}",
    ),
    "DURE-1230": Code(
        "unknown time zone",
        "The time zone is not in the time zone database. Its names are those of a region and a city.",
        "timezone: Asia/Seoul",
    ),
    "DURE-1231": Code(
        "bad override",
        "An override is for one organisation or one project, and changes something. A target may have one lasting"
        " override and one lease that lies over it until it ends.",
        "- {org: hanbit-ai, weight: 2, until: 2026-12-01T00:00:00+09:00, reason: C-204}",
    ),
    "DURE-1232": Code(
        "class in use",
        "An organisation is in a class that the policy does not have, so nothing would say what it may use.",
        "dure org list",
    ),
    "DURE-1260": Code(
        "class still needed",
        "Registered organisations are in a class that the new policy leaves out. Move them first.",
        "dure org list",
    ),
    "DURE-1261": Code(
        "rate card already used",
        "A rate card of this name is stored with other prices or another date. Prices that were charged never change:"
        " new prices have a new name.",
        "metadata: {name: ratecard-2027-1}",
    ),
    "DURE-1262": Code(
        "flavor still needed",
        "Jobs that have not ended ask for a flavor that the new policy leaves out. They could never be priced. Keep it"
        " until they have ended, or cancel them.",
        "dure queue --all",
    ),
    "DURE-1263": Code(
        "rate card not valid yet",
        "A policy is in force from the moment it is applied, and what starts under it is charged by its rate card. The"
        " one it names holds only from a later instant: name another, or apply the policy then.",
        "rate_card: ratecard-2026-2",
    ),
    "DURE-1270": Code(
        "class can hold nothing",
        "Jobs ask for whole GPUs. A class whose guarantee and borrowing limit together are less than one GPU of every"
        " flavor can start no job at all, whatever is free; a weight does not help it.",
        "sme: {weight: 1, borrowing_limit: {h100-80g: 8}, price: {of_list: 0.10}}",
    ),
    "DURE-1271": Code(
        "no reason given",
        "Whoever puts a policy in force says why. The reason is kept with the version for those who audit it: one line"
        " of 1 to 500 printable characters, such as a decision's or a ticket's number.",
        "dure policy apply policy.yaml --reason 'C-204: more for startups'",
    ),
    "DURE-1301": Code(
        "bad registration number",
        "A Korean business registration number has ten digits, the last of which checks the others. This one fails.",
        "dure org create hanbit-ai --registration-number 124-81-00998",
    ),
    "DURE-1302": Code(
        "unknown class", "The policy in force has no class of this name; an organisation needs one.", "dure policy show"
    ),
    "DURE-1303": Code(
        "role and scope do not fit",
        "Roles belong to scopes: members and project-admins to a project, org-admins to an organisation, operators to"
        " a cluster, admins to all.",
        "dure member add kim --role member --scope project:hanbit-ai/nlp",
    ),
    "DURE-1310": Code(
        "no indices of an array",
        "A job array is written as indices and ranges: 1-20, 1-20:2 (every second), 1,3,5-9; %4 after them lets at most"
        " 4 of its jobs wait or run at once. Indices are 0 to 999999, each once, and at most 1,000 of them.",
        'array: "1-20%4"',
    ),
    "DURE-1311": Code(
        "hold longer than the time limit",
        "An attempt that has failed is held inside its own time limit, so a longer hold would promise what cannot be.",
        "resources: {time: 2h}, hold_on_failure: 30m",
    ),
    "DURE-1320": Code(
        "artifacts that cannot be kept",
        "A cluster lists or sends artifacts that the server does not keep: a name that is not safe on every system,"
        " more bytes than an attempt may hand over, or more than were listed. Operators leave such files out.",
        "dure job artifacts JOB",
    ),
    "DURE-1321": Code(
        "artifacts left out",
        "Files in the artifacts folder of an attempt were not taken: links, pipes and devices, names that some system"
        " does not take, and what is above the number and size that an attempt may hand over. The list says why.",
        "dure job artifacts JOB",
    ),
    "DURE-1322": Code(
        "not a safe place for an artifact",
        "Artifacts are written below the folder that was given and nowhere else. A name that would leave it, or a link"
        " or a file that stands where a folder is needed, is refused; so is a folder that cannot be written.",
        "dure job artifacts JOB --get --to results",
    ),
}
