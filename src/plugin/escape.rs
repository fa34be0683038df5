//! Escapes text from objects, AWS and the API server for a terminal.

/// The text on one line. Characters that move the cursor, control the terminal or reorder text are escaped.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, character| {
        match character {
            control if control.is_control() || reorders(control) => safe.extend(control.escape_debug()),
            other => safe.push(other),
        }
        safe
    })
}

/// Line separators, and the characters with which Unicode changes the direction of text (<https://trojansource.codes>).
pub(super) fn reorders(character: char) -> bool {
    matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
