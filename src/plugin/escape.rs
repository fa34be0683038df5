//! Text from objects, AWS and the API server, made safe for a terminal.

/// Text on one line, with every character escaped that moves the cursor, changes the terminal or reorders what is shown.
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
