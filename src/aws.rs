//! The adapter for AWS Secrets Manager and STS. It takes and returns the operator's own types. An error becomes a class (how the operator
//! reacts), a reason and a message; AWS's own error text is not passed on.

mod assume;
mod call;
mod chain;
mod client;
mod description;
mod environment;
mod fault;
mod list;
mod meter;
mod operation;
mod queue;
mod recent;
mod rotation;
mod session;
mod settings;
mod values;

pub use self::client::{Address, Aws, EndpointConfig, SecretsManager};
pub use self::queue::{Message, Queue};
pub use self::rotation::Rotate;
pub use self::values::{Moved, NewSecret, Selector, Version, Written};
