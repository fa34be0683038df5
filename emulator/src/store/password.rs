//! `GetRandomPassword`.

use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::json;

use super::fields::{Fields, check_length};
use super::{Answer, Store};
use crate::error::AwsError;

const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

impl Store {
    pub(super) fn password(&mut self, fields: Fields<'_>) -> Answer {
        let length = fields.integer("PasswordLength")?.unwrap_or(32);
        let Some(length) = usize::try_from(length).ok().filter(|length| (1..=4096).contains(length)) else {
            return Err(AwsError::validation("1 validation error detected: 'passwordLength' must be between 1 and 4096"));
        };
        let without = fields.str("ExcludeCharacters")?.unwrap_or_default();
        check_length("ExcludeCharacters", without, 0, 4096)?;
        let classes = [
            ("ExcludeLowercase", ('a'..='z').collect::<String>()),
            ("ExcludeUppercase", ('A'..='Z').collect()),
            ("ExcludeNumbers", ('0'..='9').collect()),
            ("ExcludePunctuation", PUNCTUATION.to_owned()),
        ];
        let mut pools: Vec<Vec<char>> = Vec::new();
        for (excluded, characters) in classes {
            if !fields.bool(excluded)? {
                pools.push(characters.chars().filter(|c| !without.contains(*c)).collect());
            }
        }
        if fields.bool("IncludeSpace")? && !without.contains(' ') {
            pools.push(vec![' ']);
        }
        pools.retain(|pool| !pool.is_empty());
        let all: Vec<char> = pools.concat();
        if all.is_empty() {
            return Err(AwsError::invalid_parameter("The password can't be generated because no characters are left to choose from."));
        }
        let mut password: Vec<char> = Vec::with_capacity(length);
        // On unless switched off (API model).
        if fields.optional_bool("RequireEachIncludedType")?.unwrap_or(true) {
            if pools.len() > length {
                return Err(AwsError::invalid_parameter("The password length is too short to have a character of each required type."));
            }
            password.extend(pools.iter().filter_map(|pool| pool.choose(&mut self.chance)));
        }
        while password.len() < length {
            password.extend(all.choose(&mut self.chance));
        }
        password.shuffle(&mut self.chance);
        let password: String = password.into_iter().collect();
        Ok(json!({"RandomPassword": password}))
    }
}
