-- Schema version 0001. A released version never changes; a change is a new version.
CREATE TABLE artifact (
  job TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  number BIGINT NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  size BIGINT NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  left_out TEXT COLLATE "C" NOT NULL,
  reported_at_ms BIGINT NOT NULL,
  CONSTRAINT pk_artifact PRIMARY KEY (job, attempt, number),
  CONSTRAINT ck_artifact_number_at_least_0 CHECK ("number" >= 0),
  CONSTRAINT ck_artifact_size_at_least_0 CHECK ("size" >= 0),
  CONSTRAINT ck_artifact_reported_at_ms_at_least_0 CHECK ("reported_at_ms" >= 0),
  CONSTRAINT ck_artifact_attempt_at_least_1 CHECK ("attempt" >= 1),
  CONSTRAINT ck_artifact_job_not_empty CHECK ("job" <> '')
);
CREATE TABLE attempt (
  job TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  org TEXT COLLATE "C" NOT NULL,
  project TEXT COLLATE "C" NOT NULL,
  "user" TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  tier TEXT COLLATE "C" NOT NULL,
  cluster TEXT COLLATE "C" NOT NULL,
  flavor TEXT COLLATE "C" NOT NULL,
  gpus BIGINT NOT NULL,
  ranks_json TEXT COLLATE "C" NOT NULL,
  admitted_at_ms BIGINT NOT NULL,
  cycle BIGINT NOT NULL,
  policy_version BIGINT NOT NULL,
  rate_card TEXT COLLATE "C" NOT NULL,
  starting_at_ms BIGINT NOT NULL,
  running_at_ms BIGINT NOT NULL,
  stop_reason TEXT COLLATE "C",
  stop_at_ms BIGINT NOT NULL,
  notice_at_ms BIGINT NOT NULL,
  gone_at_ms BIGINT NOT NULL,
  checkpoint_at_ms BIGINT NOT NULL,
  checkpoint_step BIGINT,
  settled BOOLEAN NOT NULL,
  exit_code BIGINT,
  hold_until_ms BIGINT NOT NULL,
  unproven BOOLEAN NOT NULL,
  message TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_attempt PRIMARY KEY (job, number),
  CONSTRAINT ck_attempt_admitted_at_ms_at_least_0 CHECK ("admitted_at_ms" >= 0),
  CONSTRAINT ck_attempt_cycle_at_least_0 CHECK ("cycle" >= 0),
  CONSTRAINT ck_attempt_policy_version_at_least_0 CHECK ("policy_version" >= 0),
  CONSTRAINT ck_attempt_starting_at_ms_at_least_0 CHECK ("starting_at_ms" >= 0),
  CONSTRAINT ck_attempt_running_at_ms_at_least_0 CHECK ("running_at_ms" >= 0),
  CONSTRAINT ck_attempt_stop_at_ms_at_least_0 CHECK ("stop_at_ms" >= 0),
  CONSTRAINT ck_attempt_notice_at_ms_at_least_0 CHECK ("notice_at_ms" >= 0),
  CONSTRAINT ck_attempt_gone_at_ms_at_least_0 CHECK ("gone_at_ms" >= 0),
  CONSTRAINT ck_attempt_checkpoint_at_ms_at_least_0 CHECK ("checkpoint_at_ms" >= 0),
  CONSTRAINT ck_attempt_hold_until_ms_at_least_0 CHECK ("hold_until_ms" >= 0),
  CONSTRAINT ck_attempt_number_at_least_1 CHECK ("number" >= 1),
  CONSTRAINT ck_attempt_gpus_at_least_1 CHECK ("gpus" >= 1),
  CONSTRAINT ck_attempt_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_attempt_state_known CHECK ("state" IN ('Admitted', 'Starting', 'Running', 'Stopping', 'Gone')),
  CONSTRAINT ck_attempt_tier_known CHECK ("tier" IN ('guaranteed', 'borrow', 'scavenge')),
  CONSTRAINT ck_attempt_stop_reason_known CHECK ("stop_reason" IN ('finish', 'cancel', 'evict', 'timeout', 'fail', 'lost')),
  CONSTRAINT ck_attempt_job_not_empty CHECK ("job" <> '')
);
CREATE INDEX ix_attempt_admitted_at_ms ON attempt (admitted_at_ms);
CREATE INDEX ix_attempt_cluster_state ON attempt (cluster, state);
CREATE INDEX ix_attempt_org_project ON attempt (org, project);
CREATE INDEX ix_attempt_settled ON attempt (settled);
CREATE INDEX ix_attempt_state ON attempt (state);
CREATE UNIQUE INDEX uq_attempt_one_live_attempt ON attempt (job) WHERE "state" <> 'Gone';
CREATE TABLE checkpoint (
  cycle BIGINT NOT NULL,
  fact_seq BIGINT NOT NULL,
  state_json TEXT COLLATE "C" NOT NULL,
  CONSTRAINT pk_checkpoint PRIMARY KEY (cycle),
  CONSTRAINT ck_checkpoint_cycle_at_least_0 CHECK ("cycle" >= 0),
  CONSTRAINT ck_checkpoint_fact_seq_at_least_0 CHECK ("fact_seq" >= 0)
);
CREATE TABLE cluster (
  name TEXT COLLATE "C" NOT NULL,
  observed_through_ms BIGINT NOT NULL,
  reported_at_ms BIGINT NOT NULL,
  clock_offset_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_cluster PRIMARY KEY (name),
  CONSTRAINT ck_cluster_observed_through_ms_at_least_0 CHECK ("observed_through_ms" >= 0),
  CONSTRAINT ck_cluster_reported_at_ms_at_least_0 CHECK ("reported_at_ms" >= 0),
  CONSTRAINT ck_cluster_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_cluster_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE counter (
  name TEXT COLLATE "C" NOT NULL,
  value BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_counter PRIMARY KEY (name),
  CONSTRAINT ck_counter_value_at_least_0 CHECK ("value" >= 0),
  CONSTRAINT ck_counter_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_counter_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE credit_note (
  number TEXT COLLATE "C" NOT NULL,
  invoice TEXT COLLATE "C" NOT NULL,
  place BIGINT NOT NULL,
  proposal TEXT COLLATE "C" NOT NULL,
  org TEXT COLLATE "C" NOT NULL,
  period TEXT COLLATE "C" NOT NULL,
  issued_at_ms BIGINT NOT NULL,
  note_json TEXT COLLATE "C" NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  issued_seq BIGINT NOT NULL,
  CONSTRAINT pk_credit_note PRIMARY KEY (number),
  CONSTRAINT ck_credit_note_issued_at_ms_at_least_0 CHECK ("issued_at_ms" >= 0),
  CONSTRAINT ck_credit_note_issued_seq_at_least_0 CHECK ("issued_seq" >= 0),
  CONSTRAINT ck_credit_note_place_at_least_1 CHECK ("place" >= 1),
  CONSTRAINT ck_credit_note_number_not_empty CHECK ("number" <> '')
);
CREATE INDEX ix_credit_note_org ON credit_note (org);
CREATE UNIQUE INDEX uq_credit_note_one_approval ON credit_note (proposal);
CREATE UNIQUE INDEX uq_credit_note_one_place ON credit_note (invoice, place);
CREATE TABLE credit_proposal (
  id TEXT COLLATE "C" NOT NULL,
  invoice TEXT COLLATE "C" NOT NULL,
  org TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  text TEXT COLLATE "C" NOT NULL,
  left_json TEXT COLLATE "C" NOT NULL,
  notes_before BIGINT NOT NULL,
  proposed_by TEXT COLLATE "C" NOT NULL,
  proposed_at_ms BIGINT NOT NULL,
  CONSTRAINT pk_credit_proposal PRIMARY KEY (id),
  CONSTRAINT ck_credit_proposal_notes_before_at_least_0 CHECK ("notes_before" >= 0),
  CONSTRAINT ck_credit_proposal_proposed_at_ms_at_least_0 CHECK ("proposed_at_ms" >= 0),
  CONSTRAINT ck_credit_proposal_reason_known CHECK ("reason" IN ('01', '02', '06')),
  CONSTRAINT ck_credit_proposal_id_not_empty CHECK ("id" <> '')
);
CREATE INDEX ix_credit_proposal_invoice ON credit_proposal (invoice);
CREATE TABLE cycle (
  number BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  fact_seq BIGINT NOT NULL,
  policy_version BIGINT NOT NULL,
  registry_seq BIGINT NOT NULL,
  code_version TEXT COLLATE "C" NOT NULL,
  input_hash TEXT COLLATE "C" NOT NULL,
  plan_json TEXT COLLATE "C" NOT NULL,
  duration_us BIGINT NOT NULL,
  CONSTRAINT pk_cycle PRIMARY KEY (number),
  CONSTRAINT ck_cycle_epoch_at_least_0 CHECK ("epoch" >= 0),
  CONSTRAINT ck_cycle_at_ms_at_least_0 CHECK ("at_ms" >= 0),
  CONSTRAINT ck_cycle_fact_seq_at_least_0 CHECK ("fact_seq" >= 0),
  CONSTRAINT ck_cycle_policy_version_at_least_0 CHECK ("policy_version" >= 0),
  CONSTRAINT ck_cycle_registry_seq_at_least_0 CHECK ("registry_seq" >= 0),
  CONSTRAINT ck_cycle_duration_us_at_least_0 CHECK ("duration_us" >= 0),
  CONSTRAINT ck_cycle_number_at_least_1 CHECK ("number" >= 1)
);
CREATE TABLE fact (
  seq BIGINT GENERATED BY DEFAULT AS IDENTITY,
  kind TEXT COLLATE "C" NOT NULL,
  at_ms BIGINT NOT NULL,
  body_json TEXT COLLATE "C" NOT NULL,
  horizon BIGINT DEFAULT 0 NOT NULL,
  CONSTRAINT pk_fact PRIMARY KEY (seq),
  CONSTRAINT ck_fact_at_ms_at_least_0 CHECK (at_ms >= 0)
);
CREATE INDEX ix_fact_kind_seq ON fact (kind, seq);
CREATE TABLE finding (
  id TEXT COLLATE "C" NOT NULL,
  code TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  message TEXT COLLATE "C" NOT NULL,
  at_ms BIGINT NOT NULL,
  CONSTRAINT pk_finding PRIMARY KEY (id),
  CONSTRAINT ck_finding_at_ms_at_least_0 CHECK ("at_ms" >= 0),
  CONSTRAINT ck_finding_id_not_empty CHECK ("id" <> '')
);
CREATE TABLE idempotency (
  "user" TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  body_sha256 TEXT COLLATE "C" NOT NULL,
  response_json TEXT COLLATE "C" NOT NULL,
  created_at_ms BIGINT NOT NULL,
  CONSTRAINT pk_idempotency PRIMARY KEY ("user", key),
  CONSTRAINT ck_idempotency_created_at_ms_at_least_0 CHECK ("created_at_ms" >= 0),
  CONSTRAINT ck_idempotency_user_not_empty CHECK ("user" <> ''),
  CONSTRAINT ck_idempotency_key_not_empty CHECK ("key" <> '')
);
CREATE TABLE invoice (
  number TEXT COLLATE "C" NOT NULL,
  org TEXT COLLATE "C" NOT NULL,
  period TEXT COLLATE "C" NOT NULL,
  issued_at_ms BIGINT NOT NULL,
  invoice_json TEXT COLLATE "C" NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  issued_seq BIGINT NOT NULL,
  CONSTRAINT pk_invoice PRIMARY KEY (number),
  CONSTRAINT ck_invoice_issued_at_ms_at_least_0 CHECK ("issued_at_ms" >= 0),
  CONSTRAINT ck_invoice_issued_seq_at_least_0 CHECK ("issued_seq" >= 0),
  CONSTRAINT ck_invoice_number_not_empty CHECK ("number" <> '')
);
CREATE INDEX ix_invoice_period ON invoice (period);
CREATE UNIQUE INDEX uq_invoice_one_invoice ON invoice (org, period);
CREATE TABLE job (
  id TEXT COLLATE "C" NOT NULL,
  org TEXT COLLATE "C" NOT NULL,
  project TEXT COLLATE "C" NOT NULL,
  "user" TEXT COLLATE "C" NOT NULL,
  class_name TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  flavor TEXT COLLATE "C" NOT NULL,
  nodes BIGINT NOT NULL,
  gpus_per_node BIGINT NOT NULL,
  tiers TEXT COLLATE "C" NOT NULL,
  time_limit_ms BIGINT NOT NULL,
  task_json TEXT COLLATE "C" NOT NULL,
  submitted_at_ms BIGINT NOT NULL,
  submitted_seq BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  losses BIGINT NOT NULL,
  max_losses BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  package_sha256 TEXT COLLATE "C" NOT NULL,
  held_by TEXT COLLATE "C" NOT NULL,
  cancelled_by TEXT COLLATE "C" NOT NULL,
  not_before_ms BIGINT NOT NULL,
  ended_at_ms BIGINT NOT NULL,
  message TEXT COLLATE "C" NOT NULL,
  "array" TEXT COLLATE "C" NOT NULL,
  array_index BIGINT NOT NULL,
  array_text TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_job PRIMARY KEY (id),
  CONSTRAINT ck_job_submitted_at_ms_at_least_0 CHECK ("submitted_at_ms" >= 0),
  CONSTRAINT ck_job_submitted_seq_at_least_0 CHECK ("submitted_seq" >= 0),
  CONSTRAINT ck_job_attempt_at_least_0 CHECK ("attempt" >= 0),
  CONSTRAINT ck_job_losses_at_least_0 CHECK ("losses" >= 0),
  CONSTRAINT ck_job_max_losses_at_least_0 CHECK ("max_losses" >= 0),
  CONSTRAINT ck_job_failures_at_least_0 CHECK ("failures" >= 0),
  CONSTRAINT ck_job_not_before_ms_at_least_0 CHECK ("not_before_ms" >= 0),
  CONSTRAINT ck_job_ended_at_ms_at_least_0 CHECK ("ended_at_ms" >= 0),
  CONSTRAINT ck_job_array_index_at_least_0 CHECK ("array_index" >= 0),
  CONSTRAINT ck_job_nodes_at_least_1 CHECK ("nodes" >= 1),
  CONSTRAINT ck_job_gpus_per_node_at_least_1 CHECK ("gpus_per_node" >= 1),
  CONSTRAINT ck_job_time_limit_ms_at_least_1 CHECK ("time_limit_ms" >= 1),
  CONSTRAINT ck_job_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_job_state_known CHECK ("state" IN ('Queued', 'Held', 'Active', 'Succeeded', 'Failed', 'Cancelled')),
  CONSTRAINT ck_job_held_by_known CHECK ("held_by" IN ('', 'user', 'admin', 'array')),
  CONSTRAINT ck_job_id_not_empty CHECK ("id" <> '')
);
CREATE INDEX ix_job_array ON job ("array");
CREATE INDEX ix_job_org_project_state ON job (org, project, state);
CREATE INDEX ix_job_state ON job (state);
CREATE INDEX ix_job_submitted_at_ms ON job (submitted_at_ms);
CREATE INDEX ix_job_submitted_seq ON job (submitted_seq);
CREATE INDEX ix_job_user_name ON job ("user", name);
CREATE TABLE key (
  name TEXT COLLATE "C" NOT NULL,
  secret TEXT COLLATE "C" NOT NULL,
  CONSTRAINT pk_key PRIMARY KEY (name),
  CONSTRAINT ck_key_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE lease (
  name TEXT COLLATE "C" NOT NULL,
  holder TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  expires_at_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_lease PRIMARY KEY (name),
  CONSTRAINT ck_lease_epoch_at_least_0 CHECK ("epoch" >= 0),
  CONSTRAINT ck_lease_expires_at_ms_at_least_0 CHECK ("expires_at_ms" >= 0),
  CONSTRAINT ck_lease_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_lease_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE ledger_tx (
  seq BIGINT NOT NULL,
  idem_key TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  occurred_from_ms BIGINT NOT NULL,
  occurred_to_ms BIGINT NOT NULL,
  booked_at_ms BIGINT NOT NULL,
  period TEXT COLLATE "C" NOT NULL,
  reverses_seq BIGINT NOT NULL,
  body_json TEXT COLLATE "C" NOT NULL,
  CONSTRAINT pk_ledger_tx PRIMARY KEY (seq),
  CONSTRAINT ck_ledger_tx_occurred_from_ms_at_least_0 CHECK ("occurred_from_ms" >= 0),
  CONSTRAINT ck_ledger_tx_occurred_to_ms_at_least_0 CHECK ("occurred_to_ms" >= 0),
  CONSTRAINT ck_ledger_tx_booked_at_ms_at_least_0 CHECK ("booked_at_ms" >= 0),
  CONSTRAINT ck_ledger_tx_reverses_seq_at_least_0 CHECK ("reverses_seq" >= 0),
  CONSTRAINT ck_ledger_tx_seq_at_least_1 CHECK ("seq" >= 1),
  CONSTRAINT ck_ledger_tx_occurred CHECK ("occurred_from_ms" <= "occurred_to_ms"),
  CONSTRAINT ck_ledger_tx_reverses_earlier CHECK ("reverses_seq" < "seq")
);
CREATE INDEX ix_ledger_tx_period ON ledger_tx (period);
CREATE UNIQUE INDEX uq_ledger_tx_idem_key ON ledger_tx (idem_key);
CREATE TABLE member (
  "user" TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  granted_at_ms BIGINT NOT NULL,
  granted_by TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_member PRIMARY KEY ("user", role, scope),
  CONSTRAINT ck_member_granted_at_ms_at_least_0 CHECK ("granted_at_ms" >= 0),
  CONSTRAINT ck_member_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_member_state_known CHECK ("state" IN ('active', 'removed')),
  CONSTRAINT ck_member_user_not_empty CHECK ("user" <> ''),
  CONSTRAINT ck_member_role_not_empty CHECK ("role" <> ''),
  CONSTRAINT ck_member_scope_not_empty CHECK ("scope" <> '')
);
CREATE INDEX ix_member_scope ON member (scope);
CREATE TABLE node (
  cluster TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  flavor TEXT COLLATE "C" NOT NULL,
  registered BIGINT NOT NULL,
  healthy BIGINT NOT NULL,
  held BIGINT NOT NULL,
  schedulable BOOLEAN NOT NULL,
  seen_at_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_node PRIMARY KEY (cluster, name),
  CONSTRAINT ck_node_registered_at_least_0 CHECK ("registered" >= 0),
  CONSTRAINT ck_node_healthy_at_least_0 CHECK ("healthy" >= 0),
  CONSTRAINT ck_node_held_at_least_0 CHECK ("held" >= 0),
  CONSTRAINT ck_node_seen_at_ms_at_least_0 CHECK ("seen_at_ms" >= 0),
  CONSTRAINT ck_node_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_node_healthy_registered CHECK ("healthy" <= "registered"),
  CONSTRAINT ck_node_cluster_not_empty CHECK ("cluster" <> ''),
  CONSTRAINT ck_node_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE observation (
  id TEXT COLLATE "C" NOT NULL,
  cluster TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  job TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  rank BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  received_at_ms BIGINT NOT NULL,
  body_json TEXT COLLATE "C" NOT NULL,
  CONSTRAINT pk_observation PRIMARY KEY (id),
  CONSTRAINT ck_observation_attempt_at_least_0 CHECK ("attempt" >= 0),
  CONSTRAINT ck_observation_at_ms_at_least_0 CHECK ("at_ms" >= 0),
  CONSTRAINT ck_observation_received_at_ms_at_least_0 CHECK ("received_at_ms" >= 0),
  CONSTRAINT ck_observation_id_not_empty CHECK ("id" <> '')
);
CREATE INDEX ix_observation_cluster_at_ms ON observation (cluster, at_ms);
CREATE INDEX ix_observation_job_attempt ON observation (job, attempt);
CREATE TABLE org (
  name TEXT COLLATE "C" NOT NULL,
  class_name TEXT COLLATE "C" NOT NULL,
  title TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  registration_number TEXT COLLATE "C" NOT NULL,
  tax_treatment TEXT COLLATE "C" NOT NULL,
  created_at_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_org PRIMARY KEY (name),
  CONSTRAINT ck_org_created_at_ms_at_least_0 CHECK ("created_at_ms" >= 0),
  CONSTRAINT ck_org_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_org_state_known CHECK ("state" IN ('applied', 'verified', 'suspended', 'expired', 'closed')),
  CONSTRAINT ck_org_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE period (
  id TEXT COLLATE "C" NOT NULL,
  calendar TEXT COLLATE "C" NOT NULL,
  start_ms BIGINT NOT NULL,
  end_ms BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  close_seq BIGINT NOT NULL,
  close_policy_version BIGINT NOT NULL,
  closed_at_ms BIGINT NOT NULL,
  closed_by TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_period PRIMARY KEY (id),
  CONSTRAINT ck_period_start_ms_at_least_0 CHECK ("start_ms" >= 0),
  CONSTRAINT ck_period_end_ms_at_least_0 CHECK ("end_ms" >= 0),
  CONSTRAINT ck_period_close_seq_at_least_0 CHECK ("close_seq" >= 0),
  CONSTRAINT ck_period_close_policy_version_at_least_0 CHECK ("close_policy_version" >= 0),
  CONSTRAINT ck_period_closed_at_ms_at_least_0 CHECK ("closed_at_ms" >= 0),
  CONSTRAINT ck_period_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_period_state_known CHECK ("state" IN ('open', 'closing', 'closed')),
  CONSTRAINT ck_period_calendar_known CHECK ("calendar" IN ('month', 'manual')),
  CONSTRAINT ck_period_id_not_empty CHECK ("id" <> '')
);
CREATE TABLE policy (
  version BIGINT NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  text TEXT COLLATE "C" NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  rate_card TEXT COLLATE "C" NOT NULL,
  applied_at_ms BIGINT NOT NULL,
  applied_by TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  CONSTRAINT pk_policy PRIMARY KEY (version),
  CONSTRAINT ck_policy_applied_at_ms_at_least_0 CHECK ("applied_at_ms" >= 0),
  CONSTRAINT ck_policy_version_at_least_1 CHECK ("version" >= 1)
);
CREATE TABLE project (
  org TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  title TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  created_at_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_project PRIMARY KEY (org, name),
  CONSTRAINT ck_project_created_at_ms_at_least_0 CHECK ("created_at_ms" >= 0),
  CONSTRAINT ck_project_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_project_state_known CHECK ("state" IN ('active', 'suspended', 'closed')),
  CONSTRAINT ck_project_org_not_empty CHECK ("org" <> ''),
  CONSTRAINT ck_project_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE rank (
  job TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  rank BIGINT NOT NULL,
  node TEXT COLLATE "C" NOT NULL,
  gpus BIGINT NOT NULL,
  started_at_ms BIGINT NOT NULL,
  ended_at_ms BIGINT NOT NULL,
  exit_code BIGINT,
  evidence TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_rank PRIMARY KEY (job, attempt, rank),
  CONSTRAINT ck_rank_rank_at_least_0 CHECK ("rank" >= 0),
  CONSTRAINT ck_rank_started_at_ms_at_least_0 CHECK ("started_at_ms" >= 0),
  CONSTRAINT ck_rank_ended_at_ms_at_least_0 CHECK ("ended_at_ms" >= 0),
  CONSTRAINT ck_rank_attempt_at_least_1 CHECK ("attempt" >= 1),
  CONSTRAINT ck_rank_gpus_at_least_1 CHECK ("gpus" >= 1),
  CONSTRAINT ck_rank_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_rank_evidence_known CHECK ("evidence" IN ('', 'observed', 'lost')),
  CONSTRAINT ck_rank_job_not_empty CHECK ("job" <> '')
);
CREATE TABLE rate_card (
  name TEXT COLLATE "C" NOT NULL,
  valid_from_ms BIGINT NOT NULL,
  prices_json TEXT COLLATE "C" NOT NULL,
  policy_version BIGINT NOT NULL,
  CONSTRAINT pk_rate_card PRIMARY KEY (name),
  CONSTRAINT ck_rate_card_valid_from_ms_at_least_0 CHECK ("valid_from_ms" >= 0),
  CONSTRAINT ck_rate_card_policy_version_at_least_0 CHECK ("policy_version" >= 0),
  CONSTRAINT ck_rate_card_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE rendering (
  document TEXT COLLATE "C" NOT NULL,
  lang TEXT COLLATE "C" NOT NULL,
  renderer TEXT COLLATE "C" NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  at_ms BIGINT NOT NULL,
  CONSTRAINT pk_rendering PRIMARY KEY (document, lang, renderer),
  CONSTRAINT ck_rendering_at_ms_at_least_0 CHECK ("at_ms" >= 0),
  CONSTRAINT ck_rendering_document_not_empty CHECK ("document" <> ''),
  CONSTRAINT ck_rendering_lang_not_empty CHECK ("lang" <> ''),
  CONSTRAINT ck_rendering_renderer_not_empty CHECK ("renderer" <> '')
);
CREATE TABLE slice (
  id TEXT COLLATE "C" NOT NULL,
  job TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  rank BIGINT NOT NULL,
  cluster TEXT COLLATE "C" NOT NULL,
  class_name TEXT COLLATE "C" NOT NULL,
  org TEXT COLLATE "C" NOT NULL,
  project TEXT COLLATE "C" NOT NULL,
  "user" TEXT COLLATE "C" NOT NULL,
  flavor TEXT COLLATE "C" NOT NULL,
  tier TEXT COLLATE "C" NOT NULL,
  start_ms BIGINT NOT NULL,
  end_ms BIGINT NOT NULL,
  gpus BIGINT NOT NULL,
  held_milli_gpu_ms BIGINT NOT NULL,
  billed_milli_gpu_ms BIGINT NOT NULL,
  rate_card TEXT COLLATE "C" NOT NULL,
  policy_version BIGINT NOT NULL,
  evidence TEXT COLLATE "C" NOT NULL,
  period TEXT COLLATE "C" NOT NULL,
  ledger_seq BIGINT NOT NULL,
  CONSTRAINT pk_slice PRIMARY KEY (id),
  CONSTRAINT ck_slice_rank_at_least_0 CHECK ("rank" >= 0),
  CONSTRAINT ck_slice_start_ms_at_least_0 CHECK ("start_ms" >= 0),
  CONSTRAINT ck_slice_end_ms_at_least_0 CHECK ("end_ms" >= 0),
  CONSTRAINT ck_slice_held_milli_gpu_ms_at_least_0 CHECK ("held_milli_gpu_ms" >= 0),
  CONSTRAINT ck_slice_billed_milli_gpu_ms_at_least_0 CHECK ("billed_milli_gpu_ms" >= 0),
  CONSTRAINT ck_slice_policy_version_at_least_0 CHECK ("policy_version" >= 0),
  CONSTRAINT ck_slice_ledger_seq_at_least_0 CHECK ("ledger_seq" >= 0),
  CONSTRAINT ck_slice_attempt_at_least_1 CHECK ("attempt" >= 1),
  CONSTRAINT ck_slice_gpus_at_least_1 CHECK ("gpus" >= 1),
  CONSTRAINT ck_slice_tier_known CHECK ("tier" IN ('guaranteed', 'borrow', 'scavenge')),
  CONSTRAINT ck_slice_evidence_known CHECK ("evidence" IN ('observed', 'lost')),
  CONSTRAINT ck_slice_start_end CHECK ("start_ms" < "end_ms"),
  CONSTRAINT ck_slice_billed_held CHECK ("billed_milli_gpu_ms" <= "held_milli_gpu_ms"),
  CONSTRAINT ck_slice_id_not_empty CHECK ("id" <> '')
);
CREATE INDEX ix_slice_job_attempt ON slice (job, attempt);
CREATE INDEX ix_slice_ledger_seq ON slice (ledger_seq);
CREATE INDEX ix_slice_org_start_ms ON slice (org, start_ms);
CREATE INDEX ix_slice_period_org ON slice (period, org);
CREATE INDEX ix_slice_start_ms ON slice (start_ms);
CREATE TABLE token (
  id TEXT COLLATE "C" NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  "user" TEXT COLLATE "C" NOT NULL,
  note TEXT COLLATE "C" NOT NULL,
  created_at_ms BIGINT NOT NULL,
  expires_at_ms BIGINT NOT NULL,
  revoked_at_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_token PRIMARY KEY (id),
  CONSTRAINT ck_token_created_at_ms_at_least_0 CHECK ("created_at_ms" >= 0),
  CONSTRAINT ck_token_expires_at_ms_at_least_0 CHECK ("expires_at_ms" >= 0),
  CONSTRAINT ck_token_revoked_at_ms_at_least_0 CHECK ("revoked_at_ms" >= 0),
  CONSTRAINT ck_token_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_token_id_not_empty CHECK ("id" <> '')
);
CREATE INDEX ix_token_user ON token ("user");
CREATE TABLE waiting (
  name TEXT COLLATE "C" NOT NULL,
  cycle BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  policy_version BIGINT NOT NULL,
  reasons_json TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  CONSTRAINT pk_waiting PRIMARY KEY (name),
  CONSTRAINT ck_waiting_cycle_at_least_0 CHECK ("cycle" >= 0),
  CONSTRAINT ck_waiting_at_ms_at_least_0 CHECK ("at_ms" >= 0),
  CONSTRAINT ck_waiting_policy_version_at_least_0 CHECK ("policy_version" >= 0),
  CONSTRAINT ck_waiting_version_at_least_1 CHECK ("version" >= 1),
  CONSTRAINT ck_waiting_name_not_empty CHECK ("name" <> '')
);
CREATE TABLE ledger_entry (
  seq BIGINT NOT NULL,
  line BIGINT NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  unit TEXT COLLATE "C" NOT NULL,
  amount BIGINT NOT NULL,
  CONSTRAINT pk_ledger_entry PRIMARY KEY (seq, line),
  CONSTRAINT ck_ledger_entry_line_at_least_0 CHECK ("line" >= 0),
  CONSTRAINT ck_ledger_entry_seq_at_least_1 CHECK ("seq" >= 1),
  CONSTRAINT fk_ledger_entry_seq FOREIGN KEY(seq) REFERENCES ledger_tx (seq) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_ledger_entry_account_unit ON ledger_entry (account, unit);
CREATE SEQUENCE fact_horizon;
