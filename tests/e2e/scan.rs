//! Searches for secret values in every encoding in which they could leak.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use testkit::emulator::Emulator;

/// Shorter texts occur by chance.
const LEAST: usize = 8;

/// Everything that must not be seen anywhere.
#[derive(Default)]
pub(crate) struct Scanner {
    /// Form -> which value, in which form.
    forms: BTreeMap<Vec<u8>, String>,
    values: usize,
}

impl Scanner {
    /// All values of all versions in AWS, and each of their generated fields on its own; `fixed` are the fields that the manifests show.
    pub(crate) fn of(emulator: &Emulator, fixed: &[&str]) -> Self {
        let mut scanner = Self::default();
        for secret in emulator.secrets() {
            for version in &secret.versions {
                let Some(value) = version.value().and_then(|value| value.as_str()) else { continue };
                scanner.add(&format!("{} {}", secret.name, version.id), value);
                let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(value) else { continue };
                for (name, field) in fields {
                    let text = field.as_str().map_or_else(|| field.to_string(), str::to_owned);
                    if !fixed.contains(&name.as_str()) {
                        scanner.add(&format!("{} {} {name}", secret.name, version.id), &text);
                    }
                }
            }
        }
        scanner
    }

    pub(crate) fn values(&self) -> usize {
        self.values
    }

    pub(crate) fn forms(&self) -> usize {
        self.forms.len()
    }

    pub(crate) fn add(&mut self, what: &str, value: &str) {
        if value.len() < LEAST {
            return;
        }
        self.values += 1;
        for (form, text) in forms(value) {
            self.forms.entry(text).or_insert_with(|| format!("{what} ({form})"));
        }
    }

    /// What was found in a text; never quotes it.
    pub(crate) fn find(&self, text: &str) -> Vec<&str> {
        // A list of bytes may be printed with any white space in it.
        let packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        // Every form that starts with these four bytes: the texts are much longer than the forms are many.
        let mut by_start: BTreeMap<[u8; 4], Vec<(&[u8], &str)>> = BTreeMap::new();
        for (form, what) in &self.forms {
            if let Some(start) = form.first_chunk::<4>() {
                by_start.entry(*start).or_default().push((form, what));
            }
        }
        let mut likely = vec![false; 1 << 16];
        for [first, second, ..] in by_start.keys() {
            likely[usize::from(*first) << 8 | usize::from(*second)] = true;
        }
        let mut found = std::collections::BTreeSet::new();
        for bytes in [text.as_bytes(), &packed] {
            for (at, pair) in bytes.windows(2).enumerate() {
                if !likely[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                    continue;
                }
                let rest = &bytes[at..];
                let Some(candidates) = rest.first_chunk::<4>().and_then(|start| by_start.get(start)) else { continue };
                found.extend(candidates.iter().filter(|(form, _)| rest.starts_with(form)).map(|(_, what)| *what));
            }
        }
        found.into_iter().collect()
    }
}

/// A value in all the forms in which programs print it. Of a long one its halves, too.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = value.as_bytes();
    let mut forms = vec![("raw", bytes.to_vec()), ("reversed", bytes.iter().rev().copied().collect())];
    if bytes.len() >= 4 * LEAST {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        forms.extend([("first half", first.to_vec()), ("second half", second.to_vec())]);
    }
    for shift in 0..3 {
        forms.push(("base64", shifted(bytes, shift, &STANDARD_NO_PAD)));
        forms.push(("base64url", shifted(bytes, shift, &URL_SAFE_NO_PAD)));
        // Once more, as when the whole of a Secret is encoded.
        forms.push(("base64 of base64", shifted(STANDARD.encode(bytes).as_bytes(), shift, &STANDARD_NO_PAD)));
    }
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    forms.push(("HEX", hex.to_uppercase().into_bytes()));
    forms.push(("hex", hex.into_bytes()));
    forms.push(("percent-encoded", percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte)).into_bytes()));
    forms.push(("percent-encoded but for letters", percent(bytes, u8::is_ascii_alphanumeric).into_bytes()));
    forms.push(("percent-encoded throughout", percent(bytes, |_| false).into_bytes()));
    let once = escaped(value);
    forms.push(("JSON-escaped twice", escaped(&once).into_bytes()));
    forms.push(("JSON-escaped", once.into_bytes()));
    forms.push(("Debug", value.escape_debug().to_string().into_bytes()));
    forms.push(("list of bytes", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",").into_bytes()));
    // Go prints a list of bytes so.
    forms.push(("bytes with blanks", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ").into_bytes()));
    forms
}

/// The letters of the encoding that depend on nothing but the value, wherever it stands.
fn shifted(bytes: &[u8], shift: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
    let text = engine.encode(&padded).into_bytes();
    let whole = padded.len() * 8 / 6;
    text[(shift * 8).div_ceil(6)..whole].to_vec()
}

fn percent(bytes: &[u8], plain: impl Fn(&u8) -> bool) -> String {
    bytes.iter().map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

const PLANTED: &str = "s3cret/\"planted\"\\value<>&+~ as long as a password";

fn planted() -> Scanner {
    let mut scanner = Scanner::default();
    scanner.add("planted", PLANTED);
    scanner
}

#[test]
fn a_planted_value_is_found_in_every_form_wherever_it_stands() {
    let scanner = planted();
    let list = format!("{:?}", PLANTED.as_bytes());
    let pretty = format!("{:#?}", PLANTED.as_bytes());
    let within = |before: &str| format!("{before}{PLANTED}{before}");
    let json = serde_json::json!({"data": PLANTED}).to_string();
    let texts = [
        within("x"),
        STANDARD.encode(PLANTED),
        STANDARD.encode(within("a")),
        STANDARD.encode(within("ab")),
        STANDARD.encode(within("abc")),
        URL_SAFE_NO_PAD.encode(within("abcd")),
        STANDARD.encode(format!("password: {}", STANDARD.encode(PLANTED))),
        serde_json::json!({"body": json}).to_string(),
        json,
        format!("{:?}", Some(PLANTED)),
        PLANTED.chars().rev().collect(),
        percent(PLANTED.as_bytes(), |_| false),
        percent(PLANTED.as_bytes(), u8::is_ascii_alphanumeric),
        PLANTED.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat(),
        PLANTED[..PLANTED.len() / 2].to_owned(),
        list.replace(", ", " "),
        list,
        pretty,
    ];
    for (number, text) in texts.iter().enumerate() {
        assert!(!scanner.find(&format!("log line: {text}; and so on")).is_empty(), "text {number}: {text}");
        assert!(!scanner.find(text).is_empty(), "text {number} alone: {text}");
    }
}

#[test]
fn what_holds_no_value_is_clean() {
    let scanner = planted();
    for text in ["", "s3cret", "a line of a log without anything in it", &STANDARD.encode("something else entirely, and long enough")] {
        assert_eq!(scanner.find(text), Vec::<&str>::new());
    }
}
