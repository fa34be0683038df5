//! What users were promised, a sentence for each promise: the operator in process, turn by turn, against the real API server and the emulator.
//! Tests look at states, conditions, Events and counts of writes, never at how long something took.

mod acting;
mod adoption;
mod aws_trouble;
mod lambda_rotation;
mod changed_in_aws;
mod comes_back;
mod concurrent;
mod declared;
mod deputy;
mod foreign_aws_secret;
mod foreign_secret;
mod iam;
mod identity;
mod kept;
mod layout;
mod mirror;
mod mirror_only;
mod moved;
mod names;
mod pin;
mod regions;
mod requests;
mod rollback;
mod rollback_request;
mod schedule;
mod settings;
mod shape;
mod stage;
mod stale;
mod status_lost;
mod suspend;
mod vanished;
