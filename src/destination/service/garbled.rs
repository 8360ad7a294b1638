//! Answers as no API should give them, made of one that it gave: cut, with a byte changed, with values
//! of another type, with lists in another order or number, and a page for people in their place.

use proptest::prelude::*;
use serde_json::{Value, json};

/// What may stand in the place of any value.
fn others() -> Vec<Value> {
    vec![
        Value::Null,
        json!(7),
        json!(-1.5),
        json!("x"),
        json!(""),
        json!(true),
        json!([]),
        json!({}),
        json!([null]),
    ]
}

/// Bodies that an answer may have instead of this one.
pub(super) fn garbled(whole: Value) -> impl Strategy<Value = Vec<u8>> {
    let nodes = nodes(&whole);
    let (retyped, rearranged) = (whole.clone(), whole.clone());
    let retyped = (0..nodes, prop::sample::select(others())).prop_map(move |(place, other)| {
        let mut value = retyped.clone();
        change(&mut value, &mut { place }, &mut |node| {
            *node = other.clone()
        });
        value.to_string().into_bytes()
    });
    let rearranged = (0..nodes, 0..4_u8).prop_map(move |(place, how)| {
        let mut value = rearranged.clone();
        change(&mut value, &mut { place }, &mut |node| rearrange(node, how));
        value.to_string().into_bytes()
    });
    prop_oneof![damaged(whole.to_string().into_bytes()), retyped, rearranged]
}

/// The same bytes cut, with one of them changed, or a page for people.
pub(super) fn damaged(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = whole.len().max(1);
    let (cut, changed) = (whole.clone(), whole);
    let cut = (0..length).prop_map(move |end| cut.iter().copied().take(end).collect());
    let changed = (0..length, any::<u8>()).prop_map(move |(place, byte)| {
        let mut body = changed.clone();
        if let Some(known) = body.get_mut(place) {
            *known = byte;
        }
        body
    });
    let page = "<!DOCTYPE html><html><body>Sign in</body></html>";
    prop_oneof![cut, changed, Just(page.as_bytes().to_vec())]
}

/// A list backwards, without its first element, with that twice, or with a stranger.
fn rearrange(node: &mut Value, how: u8) {
    let Some(list) = node.as_array_mut() else {
        return;
    };
    match (how, list.first().cloned()) {
        (0, _) => list.reverse(),
        (1, Some(_)) => drop(list.remove(0)),
        (2, Some(first)) => list.push(first),
        (_, _) => list.push(json!({ "id": "999", "success": true })),
    }
}

fn nodes(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    inner + 1
}

/// Changes the value that is the so-manieth.
fn change(value: &mut Value, place: &mut usize, how: &mut impl FnMut(&mut Value)) {
    if *place == 0 {
        how(value);
        *place = usize::MAX;
        return;
    }
    if *place == usize::MAX {
        return;
    }
    *place -= 1;
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| change(value, place, how)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|value| change(value, place, how)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
