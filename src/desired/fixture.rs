//! The object that unit tests of several modules start from: `shop/db-admin`, a user with a generated password.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Delivery, Desired, Kind, Pin, Rotation, Settings, Strategy, Target, TargetServer};
use crate::api::TlsMode;
use crate::generate::Generator;
use crate::identity::Session;
use crate::value::{DeclaredValue, Layout};
use crate::version_id::VersionIds;

pub(crate) const UID: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";

/// The fixed field `username` and the generated field `password`.
pub(crate) fn declared(username: &str) -> DeclaredValue {
    DeclaredValue::Fields {
        data: BTreeMap::from([("username".to_owned(), username.to_owned())]),
        generate: BTreeMap::from([("password".to_owned(), Generator::default())]),
        turns: None,
    }
}

/// The object with this rotation.
pub(crate) fn desired(rotation: Rotation) -> Desired {
    Desired {
        ids: VersionIds::of(UID),
        uid: UID.to_owned(),
        namespace: "shop".to_owned(),
        name: "db-admin".to_owned(),
        suspended: false,
        suspended_by_namespace: None,
        region: "eu-central-1".to_owned(),
        secret_name: "k8s/shop/db-admin".to_owned(),
        own_prefix: true,
        session: Session { cluster: "test".to_owned(), namespace: "shop".to_owned() },
        service_account: None,
        description: None,
        settings: Settings::default(),
        tags: BTreeMap::new(),
        delete_after_days: None,
        value: Some(declared("admin")),
        initial: None,
        rotation,
        delivery: Delivery::Direct,
        strategy: None,
        mirror_name: "db-admin".to_owned(),
        target: Some(Target {
            name: "db-admin".to_owned(),
            layout: Layout::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            pin: Pin::Current,
            with_previous: false,
            retained: false,
            adopts: false,
        }),
        keep_versions: 5,
        rollout: None,
        emergency: false,
        rotate_request: None,
        rollback_request: None,
        refresh_request: None,
        request_interval: SignedDuration::from_mins(10),
    }
}

/// A Service of the namespace.
pub(crate) fn strategy() -> Strategy {
    Strategy {
        server: TargetServer {
            host: "db.shop.svc".to_owned(),
            address: "db.shop.svc".to_owned(),
            own_service: true,
            port: 5432,
            tls: TlsMode::VerifyFull,
            ca: None,
        },
        pooler: None,
        kind: Kind::PostgresSingleUser { database: "app".to_owned() },
        query: None,
        check_interval: None,
    }
}
