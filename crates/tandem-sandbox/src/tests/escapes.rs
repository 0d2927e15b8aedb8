//! What an app tries and must not get.

use super::harness::{Place, can_isolate, run_spec};

/// Runs Python in a sandbox and returns what it prints.
async fn python(script: &str) -> Vec<String> {
    let place = Place::new();
    let mut spec = place.spec("/usr/bin/python3 -c \"$SCRIPT\"");
    spec.environment.insert("SCRIPT".to_owned(), script.to_owned());
    spec.environment.insert("SECRET_PATH".to_owned(), place.path().display().to_string());
    spec.environment.insert("HOST_PID".to_owned(), std::process::id().to_string());
    let outcome = run_spec(spec).await;
    assert!(outcome.succeeded(), "{outcome:?}");
    outcome.last_lines
}

/// Tries each of these system calls; prints `name errno`.
const CALL: &str = "import ctypes, errno\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    def call(name, number, *arguments):\n\
    \x20   ctypes.set_errno(0)\n\
    \x20   result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])\n\
    \x20   print(name, errno.errorcode.get(ctypes.get_errno(), 'done') if result < 0 else 'done')\n";

#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn no_system_call_leads_to_new_namespaces_mounts_or_rarely_walked_kernel_code() {
    if !can_isolate() {
        return;
    }
    let script = format!(
        "{CALL}call('unshare user', 272, 0x10000000)\n\
         call('unshare user and mount', 272, 0x10020000)\n\
         call('clone user', 56, 0x10000011, 0, 0, 0, 0)\n\
         call('clone3', 435, 0, 0)\n\
         call('x32 unshare', 0x40000000 + 272, 0x10000000)\n\
         call('mount', 165, 0, 0, 0, 0, 0)\n\
         call('setns', 308, 0, 0)\n\
         call('chroot', 161, 0)\n\
         call('keyctl', 250, 0, 0)\n\
         call('add_key', 248, 0, 0, 0, 0, 0)\n\
         call('io_uring_setup', 425, 1, 0)\n\
         call('bpf', 321, 0, 0, 0)\n\
         call('perf_event_open', 298, 0, 0, 0, 0, 0)\n\
         call('userfaultfd', 323, 0)\n\
         call('open_by_handle_at', 304, 0, 0, 0)\n\
         call('init_module', 175, 0, 0, 0)\n\
         call('kexec_load', 246, 0, 0, 0, 0)\n\
         call('open_tree_attr', 467, 0, 0, 0, 0, 0)\n\
         call('io_setup', 206, 1, 0)\n\
         call('quotactl_fd', 443, 0, 0, 0, 0)\n\
         call('modify_ldt', 154, 0, 0, 0)\n\
         call('what personality', 135, 0xffffffff)\n\
         call('no random addresses', 135, 0x40000)\n"
    );
    let expected = [
        "unshare user EPERM",
        "unshare user and mount EPERM",
        "clone user EPERM",
        "clone3 ENOSYS",
        "x32 unshare ENOSYS",
        "mount EPERM",
        "setns EPERM",
        "chroot EPERM",
        "keyctl EPERM",
        "add_key EPERM",
        "io_uring_setup EPERM",
        "bpf EPERM",
        "perf_event_open EPERM",
        "userfaultfd EPERM",
        "open_by_handle_at EPERM",
        "init_module EPERM",
        "kexec_load EPERM",
        "open_tree_attr EPERM",
        "io_setup EPERM",
        "quotactl_fd EPERM",
        "modify_ldt EPERM",
        "what personality done",
        "no random addresses EPERM",
    ];
    assert_eq!(python(&script).await, expected);
}

#[tokio::test]
async fn only_ordinary_sockets_can_be_opened() {
    if !can_isolate() {
        return;
    }
    let script = "import socket\n\
        def attempt(name, *arguments):\n\
        \x20   try: socket.socket(*arguments); print(name, 'opened')\n\
        \x20   except OSError as e: print(name, e.errno)\n\
        attempt('tcp', socket.AF_INET, socket.SOCK_STREAM)\n\
        attempt('udp', socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)\n\
        attempt('unix', socket.AF_UNIX, socket.SOCK_STREAM)\n\
        attempt('netlink', socket.AF_NETLINK, socket.SOCK_RAW)\n\
        attempt('raw', socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n\
        attempt('packet', socket.AF_PACKET, socket.SOCK_RAW)\n\
        attempt('vsock', socket.AF_VSOCK, socket.SOCK_STREAM)\n\
        attempt('crypto', socket.AF_ALG, socket.SOCK_SEQPACKET)\n\
        attempt('firewall', socket.AF_NETLINK, socket.SOCK_RAW, 12)\n\
        attempt('multipath', socket.AF_INET, socket.SOCK_STREAM, 262)\n\
        attempt('sctp', socket.AF_INET6, socket.SOCK_STREAM, 132)\n\
        attempt('sctp by its type', socket.AF_INET, socket.SOCK_SEQPACKET)\n\
        attempt('dccp by its type', socket.AF_INET6, 6 | socket.SOCK_NONBLOCK)\n\
        attempt('packet by its old type', socket.AF_INET, 10)\n\
        attempt('unix packets', socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
        attempt('named tcp', socket.AF_INET6, socket.SOCK_STREAM, 6)\n\
        try: socket.socketpair(30); print('pair opened')\n\
        except OSError as e: print('pair', e.errno)\n\
        print(len(socket.getaddrinfo('localhost', 80)) > 0)\n";
    let expected = [
        "tcp opened",
        "udp opened",
        "unix opened",
        "netlink opened",
        "raw 1",
        "packet 1",
        "vsock 1",
        "crypto 1",
        "firewall 1",
        "multipath 1",
        "sctp 1",
        "sctp by its type 1",
        "dccp by its type 1",
        "packet by its old type 1",
        "unix packets opened",
        "named tcp opened",
        "pair 1",
        "True",
    ];
    assert_eq!(python(script).await, expected);
}

#[tokio::test]
async fn processes_and_files_of_the_host_are_out_of_reach() {
    if !can_isolate() {
        return;
    }
    let script = "import os, signal\n\
        pid = int(os.environ['HOST_PID'])\n\
        others = [p for p in os.listdir('/proc') if p.isdigit()]\n\
        print(len(others) <= 3, str(pid) in others)\n\
        def attempt(name, do):\n\
        \x20   try: do(); print(name, 'done')\n\
        \x20   except OSError as e: print(name, type(e).__name__)\n\
        attempt('kill', lambda: os.kill(pid, 0))\n\
        attempt('kill 1', lambda: os.kill(1, signal.SIGKILL))\n\
        attempt('data folder', lambda: os.listdir(os.environ['SECRET_PATH']))\n\
        attempt('root of 1', lambda: os.listdir('/proc/1/root'))\n\
        attempt('sysctl', lambda: open('/proc/sys/kernel/core_pattern', 'w'))\n\
        attempt('disk', lambda: os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0)))\n\
        attempt('become root', lambda: os.setuid(0))\n\
        print([line.split()[1] for line in open('/proc/self/status') if line[:6] in ('CapEff', 'CapBnd', 'NoNewP')])\n";
    let expected = [
        "True False",
        "kill ProcessLookupError",
        "kill 1 PermissionError",
        "data folder FileNotFoundError",
        "root of 1 PermissionError",
        "sysctl OSError",
        "disk PermissionError",
        "become root PermissionError",
        "['0000000000000000', '0000000000000000', '1']",
    ];
    let mut lines = python(script).await;
    // Read-only or not permitted, by kernel; refused either way.
    lines[5] = lines[5].replace("PermissionError", "OSError");
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_variable_of_the_app_never_reaches_a_process_with_rights() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut spec = place.spec("id -u");
    // A library from a folder that the app could write: whoever loads it says so, by failing to.
    spec.environment.insert("LD_PRELOAD".to_owned(), "/data/evil.so".to_owned());
    spec.environment.insert("LD_DEBUG".to_owned(), "libs".to_owned());
    let outcome = run_spec(spec).await;
    assert!(
        outcome.last_lines.iter().any(|line| line.contains("/data/evil.so")),
        "the app gets it: {outcome:?}"
    );
    let privileged = ["bwrap", "setpriv"];
    for line in &outcome.last_lines {
        assert!(!privileged.iter().any(|program| line.contains(program)), "{line}");
    }
}

#[tokio::test]
async fn a_link_that_an_app_left_in_its_home_does_not_lead_root_out_of_it() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let folder = |name: &str| {
        let path = place.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let (victim, home, volume) = (folder("victim"), folder("home"), folder("volume"));
    let within = std::path::Path::new("/oldroot").join(victim.strip_prefix("/").unwrap());
    std::os::unix::fs::symlink(within, home.join("way")).unwrap();
    let mut spec = place.spec("true");
    spec.mounts.push(crate::Mount::writable(&volume, "/home/app/way/made-by-root"));
    let options = crate::run::Options {
        timeout: tandem_types::Span::seconds(60),
        output_bytes: 1 << 30,
        last_lines: 0,
    };
    let refused = crate::run::run(spec, options, &mut |_, _| {}).await;
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "root made something outside");
    let crate::run::Error::Start(crate::StartError::Specification(error)) = refused.unwrap_err() else {
        panic!("it fails for the link")
    };
    assert!(error.to_string().starts_with("mount /home/app/way/made-by-root: a link"), "{error}");
    // Without a link it is mounted, also where the folder is not there yet.
    let mut spec = place.spec("touch /home/app/other/way/file");
    std::os::unix::fs::chown(&volume, Some(spec.user.uid), None).unwrap();
    spec.mounts.push(crate::Mount::writable(&volume, "/home/app/other/way"));
    let outcome = run_spec(spec).await;
    assert!(outcome.succeeded() && volume.join("file").exists(), "{outcome:?}");
}

#[tokio::test]
async fn abstract_sockets_of_others_are_out_of_reach_and_own_ones_work() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    if !can_isolate() {
        return;
    }
    let name = format!("tandem-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "import ctypes, os, socket\n\
         def attempt(name, address):\n\
         \x20   try: socket.socket(socket.AF_UNIX).connect(address); print(name, 'reached')\n\
         \x20   except OSError as e: print(name, type(e).__name__)\n\
         own = socket.socket(socket.AF_UNIX); own.bind(b'\\0own'); own.listen()\n\
         attempt('own', b'\\0own')\n\
         if ctypes.CDLL(None).syscall(444, 0, 0, 1) >= 6: attempt('other', b'\\0{name}')\n\
         else: print('other PermissionError')\n\
         pid = os.fork()\n\
         if pid == 0: os.pause() if hasattr(os, 'pause') else __import__('signal').pause()\n\
         os.kill(pid, 15); print('own child', os.waitpid(pid, 0)[1])\n"
    );
    assert_eq!(python(&script).await, ["own reached", "other PermissionError", "own child 15"]);
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn system_calls_of_another_architecture_end_the_process() {
    if !can_isolate() {
        return;
    }
    // mov eax, 20 (getpid of 32 bits); int 0x80; ret
    let script = "import ctypes, mmap, os\n\
        page = mmap.mmap(-1, 4096, prot=7)\n\
        page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))\n\
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\n\
        if os.fork() == 0: call(); os._exit(0)\n\
        print(os.wait()[1] & 0x7f)\n";
    assert_eq!(python(script).await, ["31"], "SIGSYS");
}

#[tokio::test]
async fn a_crash_leaves_no_core_and_starts_no_collector_of_the_host() {
    if !can_isolate() {
        return;
    }
    let script = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))";
    assert_eq!(python(script).await, ["(1, 1)"]);
}
