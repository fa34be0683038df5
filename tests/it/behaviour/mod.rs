//! Documented behaviour, one test for each statement: single reconciles of the operator in this process, against the
//! real API server and the emulator.
//! Tests check states, conditions, Events and counts of writes, never durations.

mod acting;
mod adoption;
mod aws_trouble;
mod backoff;
mod certificate;
mod changed_in_aws;
mod comes_back;
mod concurrent;
mod contested;
mod corrections;
mod declared;
mod deletion;
mod deputy;
mod foreign_aws_secret;
mod foreign_secret;
mod iam;
mod identity;
mod inputs;
mod kept;
mod lambda_rotation;
mod layout;
mod mirror;
mod mirror_only;
mod moved;
mod names;
mod peer_advisories;
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
mod status_writes;
mod suspend;
mod tenancy;
mod untrusted;
mod vanished;
