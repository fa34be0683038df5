//! Text from objects, AWS and the API server: made safe for logs, Events, conditions and terminals.

use std::fmt::Write as _;

/// The text on one line. Characters that control a terminal, end a line or reorder text are escaped. Escaping twice
/// changes nothing.
pub fn escaped(text: &str) -> String {
    // Almost all text.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut safe, character| {
        match character {
            '\n' | '\r' | '\t' => safe.extend(character.escape_default()),
            _ if is_unsafe(character) => safe.extend(character.escape_unicode()),
            _ => safe.push(character),
        }
        safe
    })
}

/// As [`escaped`], cut to at most `most` bytes.
pub fn bounded(text: &str, most: usize) -> String {
    // The input is cut as well, so that a long text is not escaped as a whole.
    let mut safe = escaped(text.get(..text.floor_char_boundary(most)).unwrap_or_default());
    safe.truncate(safe.floor_char_boundary(most));
    safe
}

/// A name that another client has chosen, as it may be shown: at most 128 characters, and none that ends a line or a
/// quotation.
pub(crate) fn shown(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.:/@ ".contains(c) { c } else { '?' };
    name.chars().take(128).map(plain).collect()
}

/// The name of a field manager, if it has the form that programs give it. Its client chooses the name, so it must not look
/// like the words around it.
pub(crate) fn manager_name(name: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    (!name.is_empty() && name.len() <= 128 && name.chars().all(plain)).then_some(name)
}

/// JSON in which these characters are escaped as well. JSON allows some of them unescaped, and only in strings; line feeds
/// are between its tokens.
pub fn json_escaped(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut safe, character| {
        if character != '\n' && is_unsafe(character) {
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
        safe
    })
}

/// Control characters, line separators, and the characters that are not shown or change the direction of text
/// (<https://trojansource.codes>): the general category Cf and the property `Default_Ignorable_Code_Point` of Unicode 16.
pub fn is_unsafe(character: char) -> bool {
    character.is_control() || !character.is_ascii() && INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

/// <https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>,
/// <https://www.unicode.org/Public/16.0.0/ucd/extracted/DerivedGeneralCategory.txt>
const INVISIBLE: [(char, char); 25] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_line_ends_and_bidi_characters_are_escaped_and_other_text_stays() {
        let table = [
            ("shop/db: \"90 %\" – 密码 é 'x' \\n", "shop/db: \"90 %\" – 密码 é 'x' \\n"),
            ("a\nERROR forged", "a\\nERROR forged"),
            ("\r\t\0\u{7f}", "\\r\\t\\u{0}\\u{7f}"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}gnp.exe\u{2066}", "\\u{202e}gnp.exe\\u{2066}"),
            ("a\u{2028}b\u{85}c\u{200b}d\u{feff}e", "a\\u{2028}b\\u{85}c\\u{200b}d\\u{feff}e"),
            ("\u{e0041}", "\\u{e0041}"),
            ("ad\u{ad}min\u{3164}\u{180e}\u{fff9}\u{fe0f}", "ad\\u{ad}min\\u{3164}\\u{180e}\\u{fff9}\\u{fe0f}"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected);
            assert_eq!(escaped(&escaped(text)), expected, "twice");
        }
    }

    #[test]
    fn a_field_manager_is_named_if_its_name_is_no_sentence() {
        for name in ["kubectl-edit", "argocd-controller", "Mozilla", "go-http-client/2.0", &"a".repeat(128)] {
            assert_eq!(manager_name(name), Some(name));
        }
        for name in ["", "nobody; run this", "a\nb", "a\"b", "edit?", "é", &"a".repeat(129)] {
            assert_eq!(manager_name(name), None, "{name}");
        }
    }

    #[test]
    fn json_with_escaped_characters_has_the_same_meaning() {
        let text = "a\u{9b}\u{202e}\u{e0041}\u{7f}\u{1b}\n é";
        let json = json_escaped(&serde_json::to_string(text).unwrap());
        assert!(!json.chars().any(is_unsafe), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_bounded_text_is_cut_between_two_characters_after_it_was_escaped() {
        assert_eq!(bounded("äää", 5), "ää");
        assert_eq!(bounded("\n\n", 3), "\\n\\");
        assert_eq!(bounded(&"x".repeat(9), 9), "x".repeat(9));
        assert_eq!(bounded("", 0), "");
    }
}
