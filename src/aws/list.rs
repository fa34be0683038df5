//! Secrets of a region by the date of their last change.

use aws_sdk_secretsmanager::types::{SortByType, SortOrderType};
use jiff::{SignedDuration, Timestamp};

use super::client::{Address, SecretsManager, timestamp};
use super::operation::Operation;
use crate::facts::Listed;
use crate::failure::Failure;

/// Entries of a page. More are not possible.
const PAGE: i32 = 100;
/// How many pages are read at once: 10,000 changes.
const MOST_PAGES: usize = 100;

impl SecretsManager {
    /// The secrets of the region that changed at `since` or later, newest first. `since: None`: those within `lag` before the newest
    /// change. Those that are scheduled for deletion are included. `None`: there are more than 10,000. One call for each hundred.
    ///
    /// # Errors
    /// That of the call that failed.
    pub async fn changed_since(&self, region: &str, since: Option<Timestamp>, lag: SignedDuration) -> Result<Option<Vec<Listed>>, Failure> {
        let (mut found, mut since, mut token) = (Vec::new(), since, None);
        for _ in 0..MOST_PAGES {
            let request = self
                .client(region)
                .list_secrets()
                .max_results(PAGE)
                .include_planned_deletion(true)
                .sort_by(SortByType::LastChangedDate)
                .sort_order(SortOrderType::Desc)
                .set_next_token(token);
            // It is about no secret in particular.
            let page = self.call(Address { region, id: "" }, Operation::ListSecrets, request.send()).await;
            let page = page.map_err(super::fault::Fault::into_failure)?;
            for entry in page.secret_list() {
                let (Some(arn), Some(changed)) = (entry.arn(), entry.last_changed_date().and_then(timestamp)) else { continue };
                let from = *since.get_or_insert(changed.checked_sub(lag).unwrap_or(changed));
                if changed < from {
                    return Ok(Some(found));
                }
                found.push(Listed { arn: arn.to_owned(), changed });
            }
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
