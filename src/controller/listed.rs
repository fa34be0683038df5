//! The end of each list of objects. While a list has further pages, the store still has the objects as they were before. So a
//! reconcile that one page requests works on an old object, or finds none, and every object is reconciled when the list has
//! ended.

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use tokio::sync::mpsc;

use crate::kubernetes::packed::Packed;

/// Keeps the objects in a store. Returns the events, and one item after each list that the store has.
pub(super) fn reflect<S>(
    objects: S,
    writer: Writer<Packed>,
) -> (impl Stream<Item = watcher::Result<Event<Packed>>> + use<S>, impl Stream<Item = ()> + use<S>)
where
    S: Stream<Item = watcher::Result<Event<Packed>>>,
{
    let (listed, lists) = mpsc::unbounded_channel();
    let objects = objects.reflect(writer).inspect(move |event| {
        if matches!(event, Ok(Event::InitDone)) {
            // The receiver ends with the controller.
            let _ = listed.send(());
        }
    });
    (objects, stream::unfold(lists, async |mut lists| lists.recv().await.map(|()| ((), lists))))
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{self, ObjectRef};
    use serde_json::json;

    use super::*;

    fn object(name: &str, revision: &str) -> Packed {
        let metadata = json!({"namespace": "shop", "name": name, "uid": name, "resourceVersion": revision});
        serde_json::from_str(&json!({"metadata": metadata, "spec": {}}).to_string()).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_each_list_is_told_when_the_store_has_what_the_list_showed() {
        let (store, writer) = reflector::store();
        let shown =
            |name: &str| store.get(&ObjectRef::new(name).within("shop")).and_then(|found| kube::ResourceExt::resource_version(&*found));
        // The first list, a change, and a second list in which one object is changed and another is new.
        let (first, second) = ([object("old", "1")], [object("old", "3"), object("new", "3")]);
        let list = |objects: &[Packed]| {
            let objects = objects.iter().cloned().map(Event::InitApply);
            [Event::Init].into_iter().chain(objects).chain([Event::InitDone]).collect::<Vec<_>>()
        };
        let events = [list(&first), vec![Event::Apply(object("old", "2"))], list(&second)].concat();
        let (objects, lists) = reflect(stream::iter(events.into_iter().map(Ok)), writer);
        let (mut objects, mut lists) = (Box::pin(objects), Box::pin(lists));
        let mut told = Vec::new();
        while objects.next().await.is_some() {
            if futures::poll!(lists.next()).is_ready() {
                told.push([shown("old"), shown("new")].map(Option::unwrap_or_default));
            }
        }
        assert_eq!(told, [["1", ""], ["3", "3"]]);
    }
}
