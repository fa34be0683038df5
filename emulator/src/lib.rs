//! AWS Secrets Manager for tests: the wire protocol (AWS JSON 1.1) in front of a store that follows the documented and recorded rules of AWS,
//! with STS and IAM, events in queues of SQS, a clock, quotas, injected faults, a barrier around writes, counters, and a second principal that
//! a test acts as.

mod args;
mod clock;
mod control;
mod error;
mod external_writer;
mod faults;
pub mod function;
mod http;
mod iam;
mod lock;
mod payload;
mod queue;
mod quota;
mod records;
mod response;
mod rotation;
mod scheduler;
mod service;
mod snapshot;
mod sqs;
mod store;
mod write_barrier;

pub use args::{EmulatorArgs, run};
pub use clock::Clock;
pub use error::AwsError;
pub use external_writer::ExternalWriter;
pub use faults::{Fault, FaultPlan, FaultRule, When};
pub use http::Server;
pub use iam::{AccessKey, Decision, Iam, SessionRecord};
pub use payload::Payload;
pub use queue::{EVENT, EventQueue};
pub use quota::Quotas;
pub use records::{CallRecord, Counters};
pub use rotation::{Invocation, RotationEvent, RotationFunction, RotationStep};
pub use service::{Config, Emulator};
pub use snapshot::{RotationSnapshot, SecretSnapshot, VersionSnapshot};
pub use store::arn::ACCOUNT;
pub use store::{ListLie, is_write};
pub use write_barrier::{Moment, WriteBarrier};

#[cfg(test)]
mod tests;
