//! A webhook: a receiver of the namespace takes the value to a target that the operator does not know. The contract is in
//! docs/rotation-webhook.md. Requests are signed as the Standard Webhooks specification says, or carry a token.

mod answer;
mod body;
mod exchange;
mod signature;
mod steps;

pub use answer::{Failure, ReceiverReason};
pub use body::{ObjectName, Step};
pub use signature::SigningKey;
pub use steps::{Proof, Receiver, Webhook};
