//! Jobs: a program of the namespace takes the value to a target that the operator does not know, one Job for each step. The
//! contract is in docs/rotation-job.md.
//!
//! Nothing is remembered. The name of a Job follows from object, version and step, so a step that was begun is found again.
//! The Secret with the values is emptied when the result of the Job is read: a Job that has ended and whose Secret is empty
//! was read before.

mod ask;
mod files;
mod manifest;
mod port;
mod seen;
mod steps;
mod values;

pub use ask::Ask;
pub use port::{Created, Port};
pub use seen::{End, Held, JobObject, SecretObject, Seen};
pub use steps::{Answer, Begun, Stop, begin, proceed};
pub use values::Values;
