//! One Event, as it is published.

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// `Warning` or `Normal`.
    pub warning: bool,
    /// The reason.
    pub reason: String,
    /// What the operator was doing.
    pub action: &'static str,
    /// The message.
    pub note: String,
}
