//! Lists of the secrets of a region.

use aws_sdk_secretsmanager::operation::list_secrets::ListSecretsOutput;
use aws_sdk_secretsmanager::types::{SecretListEntry, SortByType, SortOrderType};
use jiff::{SignedDuration, Timestamp};

use super::client::{Address, SecretsManager, timestamp};
use super::description::{self, Shown};
use super::operation::Operation;
use crate::desired::SecretArn;
use crate::facts::{AwsSecret, Listed};
use crate::failure::Failure;

/// Entries of a page. More are not possible.
const PAGE: i32 = 100;
/// How many pages are read at once: 10,000 changes.
const MOST_PAGES: usize = 100;

impl SecretsManager {
    /// The secrets of the region that changed at `since` or later, newest first. `since: None`: those within `lag` before the
    /// newest change, unless that was long ago. Those that are scheduled for deletion are included. `None`: there are more
    /// than 10,000. One call for each hundred.
    ///
    /// # Errors
    /// That of the call that failed.
    pub async fn changed_since(&self, region: &str, since: Option<Timestamp>, lag: SignedDuration) -> Result<Option<Vec<Listed>>, Failure> {
        let (mut found, mut since, mut token, began) = (Vec::new(), since, None, self.now());
        for _ in 0..MOST_PAGES {
            let page = self.page(region, (SortByType::LastChangedDate, SortOrderType::Desc), token).await?;
            for entry in page.secret_list() {
                let (Some(arn), Some(changed)) = (entry.arn(), entry.last_changed_date().and_then(timestamp)) else { continue };
                let from = *since.get_or_insert_with(|| horizon(changed, began, lag));
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

    /// Passes on every secret of the region, as `DescribeSecret` would show it, but without replicas: those that are scheduled for
    /// deletion, too. `false`: there are more than `most_pages` pages of a hundred, and nothing is known of the rest.
    ///
    /// # Errors
    /// That of the call that failed.
    pub async fn list(&self, region: &str, most_pages: usize, mut each: impl FnMut(AwsSecret)) -> Result<bool, Failure> {
        let mut token = None;
        for _ in 0..most_pages {
            // Names do not change while pages are read.
            let page = self.page(region, (SortByType::Name, SortOrderType::Asc), token).await?;
            for secret in page.secret_list().iter().map(parse) {
                // A list has no secrets of other accounts.
                if let Some(arn) = SecretArn::parse(&secret.arn) {
                    self.session.found(arn.account);
                }
                each(secret);
            }
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl SecretsManager {
    async fn page(&self, region: &str, order: (SortByType, SortOrderType), token: Option<String>) -> Result<ListSecretsOutput, Failure> {
        let request = self
            .client(region)
            .list_secrets()
            .max_results(PAGE)
            .include_planned_deletion(true)
            .sort_by(order.0)
            .sort_order(order.1)
            .set_next_token(token);
        // It is about no secret in particular.
        let page = self.call(Address { region, id: "" }, Operation::ListSecrets, request.send()).await;
        page.map_err(super::fault::Fault::into_failure)
    }
}

/// Down to which date the first list is read. By the clock of the operator, with as much again for its error, if nothing
/// changed for long: a batch of more than 10,000 changes would otherwise be too long for every list after it.
fn horizon(newest: Timestamp, now: Timestamp, lag: SignedDuration) -> Timestamp {
    let before = |time: Timestamp, span: SignedDuration| time.checked_sub(span).unwrap_or(Timestamp::MIN);
    before(newest, lag).max(before(now, lag.saturating_mul(2)))
}

fn parse(entry: &SecretListEntry) -> AwsSecret {
    description::parse(&Shown {
        arn: entry.arn(),
        name: entry.name(),
        description: entry.description(),
        kms_key_id: entry.kms_key_id(),
        tags: entry.tags(),
        deleted: entry.deleted_date().is_some(),
        rotation: super::rotation::facts(&super::rotation::Shown {
            enabled: entry.rotation_enabled(),
            function: entry.rotation_lambda_arn(),
            rules: entry.rotation_rules(),
            last: entry.last_rotated_date(),
            next: entry.next_rotation_date(),
        }),
        owning_service: entry.owning_service(),
        versions: entry.secret_versions_to_stages(),
        last_changed: entry.last_changed_date(),
        replicas: &[],
        primary_region: entry.primary_region(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_list_is_read_by_its_newest_entry_and_no_further_than_twice_that_before_now() {
        let at = |minute: i64| Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap();
        let lag = SignedDuration::from_mins(15);
        for (newest, now, expected) in [(0, 0, -15), (0, 14, -15), (0, 15, -15), (0, 16, -14), (0, 600, 570), (0, -600, -15)] {
            assert_eq!(horizon(at(newest), at(now), lag), at(expected), "{newest} {now}");
        }
        assert_eq!(horizon(Timestamp::MIN, Timestamp::MIN, lag), Timestamp::MIN);
    }
}
