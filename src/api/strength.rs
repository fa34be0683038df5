//! CEL rules that reject weak passwords. They are generated because CEL has no logarithm and no character sets. They
//! enforce the same limit as [`crate::generate::PasswordRules`]; a test compares the two.

/// Characters that `excludeAmbiguous` excludes.
pub const AMBIGUOUS: &str = "0Oo1Il|'`";
/// Characters that `excludeUrlUnsafe` excludes: all printable ones that are not unreserved in RFC 3986, section 2.3.
pub const URL_UNSAFE: &str = " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}";

/// Unit: one millionth of a bit. Even for the longest password that can be too weak, the rounding error is far below
/// the difference between two lengths.
const SCALE: f64 = 1_000_000.0;
const LEAST_BITS: i64 = 64;
/// All printable ASCII characters.
const LARGEST_ALPHABET: u32 = 95;

/// The option that excludes each character type, and the characters of that type.
const KINDS: [(&str, &str); 4] = [
    ("excludeUppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("excludeLowercase", "abcdefghijklmnopqrstuvwxyz"),
    ("excludeNumbers", "0123456789"),
    ("excludePunctuation", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
];

/// Rule: a password has at least 64 bits.
pub(super) fn enough() -> String {
    let counts: Vec<String> =
        KINDS.iter().map(|(field, all)| format!("self.{field} ? 0 : {}.filter(c, {LEFT}).size()", characters(all))).collect();
    let bits: Vec<String> = (0..=LARGEST_ALPHABET).map(|count| bits_of(count).to_string()).collect();
    let required = "(n[0] > 0 ? 1 : 0) + (n[1] > 0 ? 1 : 0) + (n[2] > 0 ? 1 : 0) + (n[3] > 0 ? 1 : 0)";
    format!(
        "self.type != 'Password' || [{}].all(e, [[{}, self.includeSpace && !e.contains(' ') ? 1 : 0]].all(n, [[{}]].all(bits, \
         (self.requireEachIncludedType ? bits[n[0]] + bits[n[1]] + bits[n[2]] + bits[n[3]] : 0) + (self.passwordLength - \
         (self.requireEachIncludedType ? {required} : 0)) * bits[n[0] + n[1] + n[2] + n[3] + n[4]] >= {LEAST_BITS}000000)))",
        excluded(),
        counts.join(", "),
        bits.join(", ")
    )
}

/// Rule: every required character type has at least one allowed character.
pub(super) fn every_kind() -> String {
    let kinds: Vec<String> = KINDS.iter().map(|(field, all)| format!("(self.{field} || {}.exists(c, {LEFT}))", characters(all))).collect();
    format!("self.type != 'Password' || !self.requireEachIncludedType || [{}].all(e, {})", excluded(), kinds.join(" && "))
}

/// `e` is the text of [`excluded`].
const LEFT: &str = "!e.contains(c)";

/// All characters that the options exclude one by one.
fn excluded() -> String {
    let set = |field: &str, all: &str| format!("(self.{field} ? {} : '')", quoted(all));
    format!("self.excludeCharacters + {} + {}", set("excludeAmbiguous", AMBIGUOUS), set("excludeUrlUnsafe", URL_UNSAFE))
}

fn quoted(all: &str) -> String {
    format!("'{}'", all.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A CEL list of the characters.
fn characters(all: &str) -> String {
    format!("{}.split('')", quoted(all))
}

/// Bits per character for an alphabet of `count` characters.
fn bits_of(count: u32) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "at most seven millions")]
    let scaled = (f64::from(count.max(1)).log2() * SCALE).round() as i64;
    scaled
}
