//! The only module of the plugin that handles values. It reads them from AWS and from the Secret, renders them as the
//! operator would, compares them and wipes them. The result is a boolean.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use super::aws::{Caller, Place, refused};
use super::connect::Session;
use crate::api::PREVIOUS_VERSION_ID;
use crate::aws::Selector;
use crate::desired::Target;
use crate::plaintext::SecretBytes;
use crate::value::Layout;
use crate::version_id::VersionId;

/// Whether the Secret holds the value of this version.
///
/// # Errors
/// Reason why they could not be compared, as a sentence without a value.
pub(super) async fn agree(
    session: &Session,
    caller: &Caller,
    place: &Place,
    version: &VersionId,
    name: &str,
    target: &Target,
) -> Result<bool, String> {
    let read = caller
        .manager
        .read(place.address(), Selector::Version(version))
        .await
        .map_err(|failure| refused("GetSecretValue", place, &failure))?;
    let Ok(mut expected) = target.layout.render(&read.value) else { return Ok(false) };
    let secret = &target.name;
    // The texts of these errors are not used, because a parser quotes what it cannot read.
    let found = Api::<Secret>::namespaced(session.client.clone(), &session.namespace).get(secret).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("you may not read the Secret {secret}: ask for get on secrets, or leave out --values")
        }
        kube::Error::Api(status) if status.code == 404 => {
            format!("there is no Secret {secret}: {}", session.flags.plugin(&format!("refresh {name}")))
        }
        _ => format!("the Secret {secret} cannot be read: try again"),
    })?;
    let previous = found.metadata.annotations.as_ref().and_then(|annotations| annotations.get(PREVIOUS_VERSION_ID));
    if let Some(previous) = previous.and_then(|previous| VersionId::parse(previous)).filter(|_| target.with_previous) {
        let read = caller.manager.read_if_present(place.address(), Selector::Version(&previous)).await;
        let read = read.map_err(|failure| refused("GetSecretValue", place, &failure))?;
        let data = read.and_then(|read| target.layout.render(&read.value).ok()).unwrap_or_default();
        expected = Layout::with_previous(expected, data);
    }
    let found: BTreeMap<String, SecretBytes> =
        found.data.into_iter().flatten().map(|(key, value)| (key, SecretBytes::from(value.0))).collect();
    Ok(same(&expected, &found))
}

/// The same keys with the same bytes. Compares values of the same length in constant time.
fn same(one: &BTreeMap<String, SecretBytes>, other: &BTreeMap<String, SecretBytes>) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((key, value), (name, found))| {
            let (value, found) = (value.expose(), found.expose());
            let differing = value.iter().zip(found).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
            key == name && value.len() == found.len() && differing == 0
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_agree_when_keys_and_bytes_do() {
        let data = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), SecretBytes::from(value.as_bytes().to_vec()))).collect::<BTreeMap<_, _>>()
        };
        let one = data(&[("a", "1"), ("b", "22")]);
        assert!(same(&one, &data(&[("b", "22"), ("a", "1")])));
        for other in [&[("a", "1")][..], &[("a", "1"), ("b", "23")], &[("a", "1"), ("b", "2")], &[("a", "1"), ("c", "22")], &[]] {
            assert!(!same(&one, &data(other)), "{other:?}");
        }
    }
}
