//! Passwords by the rules of AWS's `GetRandomPassword`, made here with the operator's own random numbers, so that a new value does not
//! cross the wire once more than it must. Pure: the generator of random numbers is an argument.
//!
//! Every character is drawn without modulo bias. With `requireEachIncludedType`, one character of each class goes to a position drawn for
//! it, and every other position takes the whole alphabet.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::plaintext::Plaintext;

#[cfg(test)]
mod tests;

/// The most that AWS makes.
const LONGEST: u32 = 4096;
/// NIST SP 800-63B asks whoever verifies a secret of less to limit the attempts, and we cannot know whether he does.
const LEAST_BITS: f64 = 64.0;

const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const NUMBERS: &str = "0123456789";
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html>
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What a password is made of; the names and meanings are AWS's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the options of GetRandomPassword are what they are")]
pub struct PasswordRules {
    /// How many characters, 1 to 4096.
    pub length: u32,
    /// Characters that never occur.
    pub exclude_characters: String,
    /// No digits.
    pub exclude_numbers: bool,
    /// No punctuation.
    pub exclude_punctuation: bool,
    /// No uppercase letters.
    pub exclude_uppercase: bool,
    /// No lowercase letters.
    pub exclude_lowercase: bool,
    /// Spaces may occur (but need not).
    pub include_space: bool,
    /// At least one character of every class that is not excluded.
    pub require_each_included_type: bool,
}

/// A kind of character that a password can be required to contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterClass {
    /// A-Z.
    Uppercase,
    /// a-z.
    Lowercase,
    /// 0-9.
    Numbers,
    /// The ASCII punctuation marks.
    Punctuation,
}

impl fmt::Display for CharacterClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uppercase => "Uppercase",
            Self::Lowercase => "Lowercase",
            Self::Numbers => "Numbers",
            Self::Punctuation => "Punctuation",
        })
    }
}

/// Why no password can be made by these rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Outside of AWS's limits.
    #[error("a password of {0} characters is not possible; set passwordLength from 1 to {LONGEST}")]
    Length(u32),
    /// Everything is excluded.
    #[error("no character is left to make a password of; exclude less")]
    NoCharacters,
    /// A class is asked for and forbidden at once. The operator does not guess which of the two is meant.
    #[error(
        "requireEachIncludedType asks for one of a class that excludeCharacters forbids as a whole; set exclude{0}: true or requireEachIncludedType: false"
    )]
    ClassExcluded(CharacterClass),
    /// Fewer characters than classes.
    #[error("passwordLength is less than the {0} classes that requireEachIncludedType asks for; set at least {0}")]
    TooShort(u32),
    /// Could be found by trying.
    #[error("the password would have {bits} bits of entropy, fewer than 64; {advice}")]
    TooWeak {
        /// What it would have.
        bits: u32,
        /// What helps.
        advice: Advice,
    },
}

/// What makes a password stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// At least this length, with the same characters.
    Lengthen(u32),
    /// No length helps, as there is only one character.
    ExcludeLess,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengthen(length) => {
                write!(f, "set passwordLength to {length} or more, or exclude less")
            }
            Self::ExcludeLess => f.write_str("exclude less"),
        }
    }
}

impl Default for PasswordRules {
    /// As AWS has it: 32 characters of all classes, at least one of each.
    fn default() -> Self {
        Self {
            length: 32,
            exclude_characters: String::new(),
            exclude_numbers: false,
            exclude_punctuation: false,
            exclude_uppercase: false,
            exclude_lowercase: false,
            include_space: false,
            require_each_included_type: true,
        }
    }
}

impl PasswordRules {
    /// Whether a password can be made by these rules, and is worth its name.
    pub fn validate(&self) -> Result<(), GenerateError> {
        if !(1..=LONGEST).contains(&self.length) {
            return Err(GenerateError::Length(self.length));
        }
        if self.alphabet().is_empty() {
            return Err(GenerateError::NoCharacters);
        }
        let required = self.required();
        if let Some((class, _)) = required.iter().find(|(_, left)| left.is_empty()) {
            return Err(GenerateError::ClassExcluded(*class));
        }
        let classes = u32::try_from(required.len()).unwrap_or(u32::MAX);
        if self.length < classes {
            return Err(GenerateError::TooShort(classes));
        }
        let bits = self.entropy_bits();
        if bits < LEAST_BITS {
            return Err(GenerateError::TooWeak { bits: whole(bits.floor()), advice: self.advice(bits) });
        }
        Ok(())
    }

    /// How many bits of entropy a password has at least. The required characters count as if an attacker knew their places, which he does
    /// not.
    pub fn entropy_bits(&self) -> f64 {
        let required = self.required();
        let free = f64::from(self.length) - required.iter().fold(0.0, |count, _| count + 1.0);
        let classes: f64 = required.iter().map(|(_, left)| bits_of(left)).sum();
        classes + free.max(0.0) * bits_of(&self.alphabet())
    }

    /// A new password. Only for rules that [`PasswordRules::validate`] accepts; by others it can come out short or empty.
    pub fn generate(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Plaintext {
        let length = self.length.min(LONGEST);
        let alphabet = self.alphabet();
        let required = self.required();
        // Which position must hold which class. Wiped too: it narrows a guess.
        let mut places: Zeroizing<Vec<Option<usize>>> = Zeroizing::new(Vec::new());
        places.resize(usize::try_from(length).unwrap_or_default(), None);
        for class in 0..required.len().min(places.len()) {
            while let Some(place) = below(rng, places.len()).and_then(|at| places.get_mut(at)) {
                if place.is_none() {
                    *place = Some(class);
                    break;
                }
            }
        }
        // ASCII only, so that it never grows and leaves no copy behind.
        let mut password = Zeroizing::new(String::with_capacity(places.len()));
        for place in places.iter() {
            let class = place.and_then(|class| required.get(class));
            let from = class.map_or(&alphabet, |(_, left)| left);
            if let Some(character) = below(rng, from.len()).and_then(|at| from.get(at)) {
                password.push(*character);
            }
        }
        Plaintext::from(std::mem::take(&mut *password))
    }

    /// The classes that are not excluded as such, with what `exclude_characters` leaves of them.
    fn classes(&self) -> impl Iterator<Item = (CharacterClass, Vec<char>)> {
        [
            (CharacterClass::Uppercase, UPPERCASE, self.exclude_uppercase),
            (CharacterClass::Lowercase, LOWERCASE, self.exclude_lowercase),
            (CharacterClass::Numbers, NUMBERS, self.exclude_numbers),
            (CharacterClass::Punctuation, PUNCTUATION, self.exclude_punctuation),
        ]
        .into_iter()
        .filter(|(_, _, excluded)| !excluded)
        .map(|(class, all, _)| (class, self.left_of(all)))
    }

    fn required(&self) -> Vec<(CharacterClass, Vec<char>)> {
        if self.require_each_included_type { self.classes().collect() } else { Vec::new() }
    }

    fn alphabet(&self) -> Vec<char> {
        let space = if self.include_space { " " } else { "" };
        self.classes().flat_map(|(_, left)| left).chain(self.left_of(space)).collect()
    }

    fn left_of(&self, all: &str) -> Vec<char> {
        all.chars().filter(|c| !self.exclude_characters.contains(*c)).collect()
    }

    fn advice(&self, bits: f64) -> Advice {
        let per_character = bits_of(&self.alphabet());
        let missing = whole(((LEAST_BITS - bits) / per_character).ceil());
        let length = self.length.saturating_add(missing);
        if per_character > 0.0 && length <= LONGEST { Advice::Lengthen(length) } else { Advice::ExcludeLess }
    }
}

fn bits_of(characters: &[char]) -> f64 {
    u32::try_from(characters.len()).map_or(0.0, |count| f64::from(count.max(1)).log2())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, which is what is wanted of a number to be shown"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

/// A uniform number below `end`, by drawing as few bits as hold it until they do. `None` for an empty range.
fn below(rng: &mut (impl CryptoRng + ?Sized), end: usize) -> Option<usize> {
    let end = u32::try_from(end).ok().filter(|end| *end > 0)?;
    let mask = u32::MAX.checked_shr((end - 1).leading_zeros()).unwrap_or(0);
    loop {
        let drawn = rng.next_u32() & mask;
        if drawn < end {
            return usize::try_from(drawn).ok();
        }
    }
}
