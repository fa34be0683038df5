//! The rules by which the API server refuses a password that could be found by trying. Made here, since nobody could read them written out: CEL has
//! no logarithm and no alphabet. They draw the line where [`crate::generate::PasswordRules`] does; a test compares the two.

/// Millionths of bits: with the longest password that can be too weak, the rounding stays far below what tells two lengths apart.
const SCALE: f64 = 1_000_000.0;
const LEAST_BITS: i64 = 64;
/// All printable ASCII characters.
const LARGEST_ALPHABET: u32 = 95;

/// What excludes a kind of characters, and its characters.
const KINDS: [(&str, &str); 4] = [
    ("excludeUppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("excludeLowercase", "abcdefghijklmnopqrstuvwxyz"),
    ("excludeNumbers", "0123456789"),
    ("excludePunctuation", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
];

/// A password has 64 bits or more, whatever is excluded.
pub(super) fn enough() -> String {
    let counts: Vec<String> =
        KINDS.iter().map(|(field, all)| format!("self.{field} ? 0 : {}.filter(c, {LEFT}).size()", characters(all))).collect();
    let bits: Vec<String> = (0..=LARGEST_ALPHABET).map(|count| bits_of(count).to_string()).collect();
    let required = "(n[0] > 0 ? 1 : 0) + (n[1] > 0 ? 1 : 0) + (n[2] > 0 ? 1 : 0) + (n[3] > 0 ? 1 : 0)";
    format!(
        "self.type != 'Password' || [[{}, self.includeSpace && !self.excludeCharacters.contains(' ') ? 1 : 0]].all(n, [[{}]].all(bits, \
         (self.requireEachIncludedType ? bits[n[0]] + bits[n[1]] + bits[n[2]] + bits[n[3]] : 0) + (self.passwordLength - \
         (self.requireEachIncludedType ? {required} : 0)) * bits[n[0] + n[1] + n[2] + n[3] + n[4]] >= {LEAST_BITS}000000))",
        counts.join(", "),
        bits.join(", ")
    )
}

/// Every kind that must occur can occur.
pub(super) fn every_kind() -> String {
    let kinds: Vec<String> = KINDS.iter().map(|(field, all)| format!("(self.{field} || {}.exists(c, {LEFT}))", characters(all))).collect();
    format!("self.type != 'Password' || !self.requireEachIncludedType || ({})", kinds.join(" && "))
}

const LEFT: &str = "!self.excludeCharacters.contains(c)";

/// As a list in CEL.
fn characters(all: &str) -> String {
    format!("'{}'.split('')", all.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What one of so many characters is worth.
fn bits_of(count: u32) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "at most seven millions")]
    let scaled = (f64::from(count.max(1)).log2() * SCALE).round() as i64;
    scaled
}
