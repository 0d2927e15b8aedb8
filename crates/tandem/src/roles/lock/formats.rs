//! Notes in the runtime folder that processes of another version read: its `down` finds who runs by them, its runner the
//! port that apps are kept from.

use super::{ApiAddress, Holder};

#[test]
fn the_note_of_who_holds_a_lock_keeps_its_form() {
    let golden = include_str!("golden/up.json").trim_end();
    let holder: Holder = serde_json::from_str(golden).expect("it is readable");
    assert_eq!((holder.pid, holder.started), (4711, Some(98_765)));
    assert_eq!(serde_json::to_string(&holder).expect("it is plain JSON"), golden);
    let of_before = include_str!("golden/up-of-before.json");
    let holder: Holder = serde_json::from_str(of_before).expect("it is readable");
    assert_eq!((holder.pid, holder.data, holder.started), (4711, None, None));
}

#[test]
fn the_note_of_where_the_api_listens_keeps_its_form() {
    let golden = include_str!("golden/api.json").trim_end();
    let address: ApiAddress = serde_json::from_str(golden).expect("it is readable");
    assert_eq!(address.tcp.port(), 4650);
    assert_eq!(serde_json::to_string(&address).expect("it is plain JSON"), golden);
}
