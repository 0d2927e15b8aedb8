//! Some clients get another release than the others, and each the same one again.

use http::Request;
use http::header::{COOKIE, SET_COOKIE};
use tandem_kit::http::Body;
use tandem_types::canary::{Canary, Share, ShareKey};
use tandem_types::routing::{Member, Route};
use tandem_types::{Digest, InstanceId, ReleaseNumber};

use super::app::{App, nobody};
use super::client::{Answer, ask, get};
use super::world::{World, shop};

/// A route whose clients get release 2 of instance 2 for a share.
fn shared(per_mille: u16) -> Route {
    let mut route = shop(&[1]);
    let member = Member { host: "box".parse().unwrap(), instance: InstanceId(2) };
    let share = Share { release: ReleaseNumber(2), members: vec![member], per_mille };
    route.pool.canary = Some(Canary { key: ShareKey(Digest([9; 32])), shares: vec![share] });
    route
}

fn with(cookie: &str) -> Request<Body> {
    let mut request = get("/");
    request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
    request
}

/// The cookie of an answer, as a client sends it back.
fn cookie(answer: &Answer) -> Option<String> {
    let value = answer.headers.get(SET_COOKIE)?.to_str().unwrap();
    assert!(value.contains("; HttpOnly; SameSite=Lax") && !value.contains("Secure"), "{value}");
    value.split(';').next().map(str::to_owned)
}

#[tokio::test]
async fn a_client_gets_the_same_release_again_from_every_balancer_until_the_shares_change() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let (here, there) = (World::empty().await, World::empty().await);
    for world in [&here, &there] {
        world.place(&[(1, old.address), (2, new.address)]);
        world.serve(1, vec![shared(500)]).await;
    }
    let mut clients = Vec::new();
    for _ in 0..40 {
        let answer = ask(here.address, get("/")).await;
        clients.push((cookie(&answer).unwrap(), answer.text().to_owned()));
    }
    let news = clients.iter().filter(|(_, text)| text == "new").count();
    assert!((5..=35).contains(&news), "{news} of 40 for a half");
    for (cookie, text) in &clients {
        for world in [&here, &there] {
            let answer = ask(world.address, with(&format!("a=b; {cookie}"))).await;
            assert_eq!((answer.text(), answer.headers.get(SET_COOKIE)), (text.as_str(), None));
        }
    }
    here.serve(2, vec![shared(1000)]).await;
    there.serve(2, vec![shared(0)]).await;
    for (cookie, _) in &clients {
        assert_eq!(ask(here.address, with(cookie)).await.text(), "new");
        assert_eq!(ask(there.address, with(cookie)).await.text(), "old");
    }
}

#[tokio::test]
async fn a_cookie_that_no_balancer_signed_is_drawn_anew() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let world = World::empty().await;
    world.place(&[(1, old.address), (2, new.address)]);
    world.serve(1, vec![shared(500)]).await;
    let good = cookie(&ask(world.address, get("/")).await).unwrap();
    let (name, value) = good.split_once('=').unwrap();
    let forged = format!("{name}={}{}", "0123456789abcdef", &value[16..]);
    assert!(cookie(&ask(world.address, with(&forged)).await).is_some());
    assert!(cookie(&ask(world.address, with(&good)).await).is_none());
    world.serve(2, vec![shop(&[1])]).await;
    assert!(
        cookie(&ask(world.address, get("/")).await).is_none(),
        "where all get the same nobody is told apart"
    );
}

#[tokio::test]
async fn whose_release_is_gone_gets_the_one_of_all_others() {
    let app = App::saying("old").await;
    let world = World::empty().await;
    world.place(&[(1, app.address), (2, nobody())]);
    world.serve(1, vec![shared(1000)]).await;
    for _ in 0..10 {
        assert_eq!(ask(world.address, get("/")).await.text(), "old");
    }
}
