//! What an app finds in its sandbox: everything that programs may expect.

use super::harness::{Place, UID, can_isolate, run_spec};
use crate::{Mount, Network};

#[tokio::test]
async fn a_command_runs_as_its_own_user_with_a_name_a_home_and_a_host_name() {
    if !can_isolate() {
        return;
    }
    let script = "import os, pwd, grp, socket\n\
        me = pwd.getpwuid(os.getuid())\n\
        print(os.getuid(), os.getgid(), os.getgroups(), me.pw_name, me.pw_dir, grp.getgrgid(os.getgid()).gr_name)\n\
        print(socket.gethostname(), socket.gethostbyname(socket.gethostname()), os.getcwd(), os.environ['HOME'])\n\
        open(os.path.expanduser('~/x'), 'w').close()\n";
    let place = Place::new();
    let mut spec = place.spec("/usr/bin/python3 -c \"$SCRIPT\"");
    spec.environment.insert("SCRIPT".to_owned(), script.to_owned());
    let outcome = run_spec(spec).await;
    assert!(outcome.succeeded(), "{outcome:?}");
    assert_eq!(
        outcome.last_lines,
        [
            format!("{UID} {UID} [] guestbook /home/app guestbook"),
            "web-1 127.0.0.1 /app /home/app".to_owned()
        ]
    );
    assert!(place.path().join("home/x").exists());
}

#[tokio::test]
async fn scratch_folders_are_private_and_open_to_all_and_the_rest_cannot_be_written() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let command = "for folder in /tmp /var/tmp /run /dev/shm; do stat -c '%a %n' $folder; touch $folder/x; done; \
        for folder in / /etc /usr /app /home /dev /proc; do touch $folder/x 2>/dev/null && echo wrote $folder; done; \
        ls /root /work /data 2>&1 | wc -l; cat /etc/shadow 2>&1 | grep -c root";
    let outcome = place.run(command).await;
    let expected = ["1777 /tmp", "1777 /var/tmp", "1777 /run", "1777 /dev/shm", "3", "0"];
    assert_eq!(outcome.last_lines, expected, "{outcome:?}");
    assert!(!std::path::Path::new("/dev/shm/x").exists());
}

#[tokio::test]
async fn mounts_lie_in_each_other_and_only_writable_ones_can_be_written() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut spec =
        place.spec("cat /app/a /app/lib/b; echo c > /data/c; touch /app/lib/x 2>&1 || echo refused");
    for (folder, name) in [("app", "a"), ("lib", "b")] {
        std::fs::create_dir_all(place.path().join(folder)).unwrap();
        tandem_kit::files::write_atomic(
            &place.path().join(folder).join(name),
            format!("{name}\n").as_bytes(),
            0o444,
        )
        .unwrap();
    }
    std::fs::create_dir_all(place.path().join("app/lib")).unwrap();
    let data = place.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(UID), Some(UID)).unwrap();
    spec.mounts.push(Mount::read_only(place.path().join("lib"), "/app/lib"));
    spec.mounts.push(Mount::writable(&data, "/data"));
    let outcome = run_spec(spec).await;
    let refusal = "touch: cannot touch '/app/lib/x': Read-only file system";
    assert_eq!(outcome.last_lines, ["a", "b", refusal, "refused"]);
    assert_eq!(std::fs::read_to_string(data.join("c")).unwrap(), "c\n");
}

#[tokio::test]
async fn every_value_arrives_as_it_is_and_none_stands_in_a_command_line() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let odd = "it's $HOME `id` \"x\" \\ \n second\tline ü";
    // The parents in the process tree are not visible from inside; their command lines are looked at from outside.
    let mut spec =
        place.spec("printf '%s' \"$ODD\"; echo; env | grep -c '^PORT=5000$'; echo looking; sleep 1");
    spec.environment.insert("ODD".to_owned(), odd.to_owned());
    spec.environment.insert("PORT".to_owned(), "5000".to_owned());
    spec.environment.insert("SECRET".to_owned(), "hunter-zwei".to_owned());
    let group = crate::cgroup::Group::open(&spec.cgroup_parent, &spec.id);
    let mut lines = Vec::new();
    let mut seen = Vec::new();
    let options = crate::run::Options {
        timeout: tandem_types::Span::seconds(60),
        output_bytes: 1 << 30,
        last_lines: 0,
    };
    crate::run::run(spec, options, &mut |_, line| {
        lines.push(line.to_owned());
        if line == "looking" {
            for process in group.processes() {
                seen.push(std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default());
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(lines, [&odd[..odd.find('\n').unwrap()], " second\tline ü", "1", "looking"]);
    assert!(seen.len() >= 3, "bubblewrap twice and the app: {}", seen.len());
    for command_line in seen {
        assert!(!String::from_utf8_lossy(&command_line).contains("hunter-zwei"));
    }
}

#[tokio::test]
async fn without_network_there_is_a_loopback_and_nothing_else() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut spec = place.spec("/usr/bin/python3 -c \"$SCRIPT\"");
    let script = "import socket\n\
        print(sorted(name for _, name in socket.if_nameindex()))\n\
        s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname()); print('loopback')\n";
    spec.environment.insert("SCRIPT".to_owned(), script.to_owned());
    spec.network = Network::None;
    let outcome = run_spec(spec).await;
    assert_eq!(outcome.last_lines, ["['lo']", "loopback"], "{outcome:?}");
}

#[tokio::test]
async fn a_missing_mount_point_in_a_read_only_tree_is_told_before_anything_runs() {
    let place = Place::new();
    let mut spec = place.spec("true");
    spec.mounts.push(Mount::writable(place.path(), "/app/media"));
    let options = crate::run::Options {
        timeout: tandem_types::Span::seconds(60),
        output_bytes: 1 << 30,
        last_lines: 0,
    };
    let error = crate::run::run(spec, options, &mut |_, _| {}).await.unwrap_err();
    let crate::run::Error::Start(crate::StartError::Specification(error)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.to_string(), "mount /app/media: the read-only /app has no such folder to mount on");
}

#[tokio::test]
async fn folders_above_a_mount_point_are_open_to_the_app() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut spec = place.spec("cat /srv/shop/media/note && stat -c %a /srv /srv/shop");
    let source = place.path().join("media");
    std::fs::create_dir(&source).unwrap();
    tandem_kit::files::write_atomic(&source.join("note"), b"here\n", 0o644).unwrap();
    spec.mounts.push(Mount::read_only(source, "/srv/shop/media"));
    let outcome = run_spec(spec).await;
    assert_eq!(outcome.last_lines, ["here", "755", "755"], "{outcome:?}");
}

#[tokio::test]
async fn nothing_is_open_but_the_standard_streams() {
    if !can_isolate() {
        return;
    }
    let outcome = Place::new().run("ls /proc/self/fd; readlink /proc/self/fd/0").await;
    // The fourth is the listing's own.
    assert_eq!(outcome.last_lines, ["0", "1", "2", "3", "/dev/null"]);
}
