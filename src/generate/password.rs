//! Passwords with the options of AWS's `GetRandomPassword`. They are generated locally, so that a new value is not
//! transmitted more often than necessary. Pure: the random number generator is an argument.
//!
//! Characters are drawn without modulo bias. With `requireEachIncludedType`, one character of each class is placed at a
//! random position, and all other positions use the whole alphabet.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::plaintext::Plaintext;

#[cfg(test)]
mod tests;

/// Maximum of AWS.
const LONGEST: u32 = 4096;
/// NIST SP 800-63B requires rate limiting by the verifier for secrets with less entropy, and the operator cannot know
/// whether the verifier does that.
const LEAST_BITS: f64 = 64.0;

const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const NUMBERS: &str = "0123456789";
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html>
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Rules of a password, with AWS's names and meanings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the options of GetRandomPassword are what they are")]
pub struct PasswordRules {
    /// Number of characters, 1 to 4096.
    pub length: u32,
    /// Characters that are excluded.
    pub exclude_characters: String,
    /// Exclude digits.
    pub exclude_numbers: bool,
    /// Exclude punctuation.
    pub exclude_punctuation: bool,
    /// Exclude uppercase letters.
    pub exclude_uppercase: bool,
    /// Exclude lowercase letters.
    pub exclude_lowercase: bool,
    /// Include the space character in the alphabet.
    pub include_space: bool,
    /// Include at least one character of every class that is not excluded.
    pub require_each_included_type: bool,
}

/// Character class that can be required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterClass {
    /// A-Z.
    Uppercase,
    /// a-z.
    Lowercase,
    /// 0-9.
    Numbers,
    /// ASCII punctuation.
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

/// The reason why the rules are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The length is outside AWS's limits.
    #[error("a password of {0} characters is not supported; set passwordLength to a number from 1 to {LONGEST}")]
    Length(u32),
    /// Everything is excluded.
    #[error("all characters are excluded; exclude fewer characters")]
    NoCharacters,
    /// A class is both required and excluded. The operator does not guess which of the two was intended.
    #[error(
        "requireEachIncludedType requires a character of a class that excludeCharacters excludes completely; set exclude{0}: true or \
         requireEachIncludedType: false"
    )]
    ClassExcluded(CharacterClass),
    /// Fewer characters than required classes.
    #[error("passwordLength is less than the {0} character classes that requireEachIncludedType requires; set at least {0}")]
    TooShort(u32),
    /// Too few bits of entropy.
    #[error("the password would have {bits} bits of entropy, less than 64; {advice}")]
    TooWeak {
        /// Bits of entropy with these rules.
        bits: u32,
        advice: Advice,
    },
}

/// Change that makes the password stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Use at least this length with the same characters.
    Lengthen(u32),
    /// No length helps, because the alphabet has only one character.
    ExcludeLess,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengthen(length) => {
                write!(f, "set passwordLength to {length} or more, or exclude fewer characters")
            }
            Self::ExcludeLess => f.write_str("exclude less"),
        }
    }
}

impl Default for PasswordRules {
    /// AWS's defaults: 32 characters of all classes, at least one of each.
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
    /// Whether the rules are valid and strong enough.
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

    /// Minimum bits of entropy. Assumes that an attacker knows the positions of the required characters, which is not
    /// the case.
    pub fn entropy_bits(&self) -> f64 {
        let required = self.required();
        let free = f64::from(self.length) - required.iter().fold(0.0, |count, _| count + 1.0);
        let classes: f64 = required.iter().map(|(_, left)| bits_of(left)).sum();
        classes + free.max(0.0) * bits_of(&self.alphabet())
    }

    /// Generates a password. Only for rules that [`PasswordRules::validate`] accepts; otherwise the result can be too
    /// short or empty.
    pub fn generate(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Plaintext {
        let length = self.length.min(LONGEST);
        let alphabet = self.alphabet();
        let required = self.required();
        // The class required at each position. Zeroized as well, because it reduces the search space.
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
        // ASCII only, so that the buffer is not reallocated and no copy remains in memory.
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

    /// The included classes, without the characters in `exclude_characters`.
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

/// A uniform number below `end`, by rejection sampling with as few bits as possible. `None` for an empty range.
fn below(rng: &mut (impl CryptoRng + ?Sized), end: usize) -> Option<usize> {
    let end = u32::try_from(end).ok().filter(|end| *end > 0)?;
    let mask = u32::MAX.checked_shr(end.saturating_sub(1).leading_zeros()).unwrap_or(0);
    loop {
        let drawn = rng.next_u32() & mask;
        if drawn < end {
            return usize::try_from(drawn).ok();
        }
    }
}
