//! `TagResource` and `UntagResource`.

use serde_json::json;

use super::fields::{Fields, check_length, check_tag_count, missing};
use super::{Answer, Caller, Store};

impl Store {
    /// Adds tags to those there are; a key that is there gets the new value.
    pub(super) fn tag(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let added = fields.tags()?.ok_or_else(|| missing("Tags"))?;
        let mut secret = self.open(caller, id)?;
        let tags = secret.tags.get_or_insert_default();
        tags.extend(added);
        check_tag_count(tags.len())?;
        self.save(caller, secret);
        Ok(json!({}))
    }

    /// Takes tags away; a key that is not there is no error.
    pub(super) fn untag(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let keys = fields.texts("TagKeys", 0, usize::MAX)?.ok_or_else(|| missing("TagKeys"))?;
        for key in &keys {
            check_length("TagKeys", key, 1, 128)?;
        }
        let mut secret = self.open(caller, id)?;
        let mut gone = false;
        if let Some(tags) = &mut secret.tags {
            for key in keys {
                gone |= tags.remove(key).is_some();
            }
        }
        if gone {
            self.save(caller, secret);
        }
        Ok(json!({}))
    }
}
