//! What comes from objects and from AWS in a command. A shell takes each value as one word; kubectl and the AWS CLI can
//! still take that word for something else.

/// What is shown instead of a command with such a value.
pub(crate) const NONE: &str =
    "no command is shown, because a value in it could be read as an option, a file, an address or part of a script";

/// Whether a program could interpret the value: as an option (`-`), as the file or address that contains it (`file://`),
/// or as JSON that it writes instead of it (`[`, `{`).
pub(crate) fn is_interpreted(value: &str) -> bool {
    value.starts_with(['-', '[', '{']) || value.contains("://")
}
