//! The parts of an ARN that do not depend on the secret.

/// The account ID. The emulator has one account.
pub const ACCOUNT: &str = "123456789012";

/// The partition of a Region, as ARNs contain it.
pub(crate) fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
