//! `iothub passwd` beside mosquitto_passwd, each of which takes the other's files, and `iothub scram`.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use e2e::program;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("iothub-passwd-{}-{name}", std::process::id()));
    // Another run of the same number may have left it.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir(&folder).unwrap();
    folder
}

fn run(program: PathBuf, args: &[&str], input: &str) -> Output {
    let mut command = program::command(program);
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that is wrong about its command line ends without reading.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

fn ours(args: &[&str], input: &str) -> Output {
    run(program::iothub(), &[&["passwd"], args].concat(), input)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[track_caller]
fn ok(output: &Output) {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[track_caller]
fn fails(output: &Output, sentence: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(sentence), "{output:?}");
}

#[test]
fn users_are_added_changed_and_deleted() {
    let folder = folder("change");
    let path = folder.join("users");
    let file = path.to_str().unwrap();
    fails(&ours(&[file, "alice"], "one\n"), "-c begins one");
    ok(&ours(&["-c", file, "alice"], "one\n"));
    assert!(text(&path).starts_with("alice:$argon2id$v=19$m=47104,t=1,p=1$") && mode(&path) == 0o600);
    ok(&ours(&["-b", "-H", "sha512-pbkdf2", "-I", "1000", file, "bob", "two"], ""));
    let before = text(&path);
    assert_eq!(before.lines().count(), 2);
    assert!(before.lines().nth(1).unwrap().starts_with("bob:$7$1000$"));
    ok(&ours(&[file, "alice"], "three\n"));
    assert_eq!(text(&path).lines().nth(1), before.lines().nth(1));
    assert_ne!(text(&path).lines().next(), before.lines().next());
    ok(&ours(&["-D", file, "alice"], ""));
    assert_eq!(text(&path).lines().collect::<Vec<_>>(), [before.lines().nth(1).unwrap()]);
    fails(&ours(&["-D", file, "alice"], ""), "there is no user `alice`");
    fails(&ours(&["-b", file, "a:b", "x"], ""), "must not contain `:`");
    fails(&ours(&[file, "alice"], ""), "the password is empty");
    fails(&ours(&["-I", "5", file, "alice"], "x"), "-I is for -H sha512-pbkdf2");
    fails(&ours(&["-H", "sha512-pbkdf2", "-I", "99999999", file, "alice"], "x"), "2000000 are the most");
    assert_eq!(text(&path).lines().count(), 1);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_others_can_read_keeps_its_mode_and_is_warned_of() {
    let folder = folder("mode");
    let path = folder.join("users");
    fs::write(&path, "# staff\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let output = ours(&["-b", "-H", "sha512", path.to_str().unwrap(), "a", "x"], "");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("chmod 600"), "{output:?}");
    assert!(text(&path).starts_with("# staff\na:$6$") && mode(&path) == 0o644);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn mosquittos_files_are_changed_and_ours_are_changed_by_mosquitto() {
    let folder = folder("mosquitto");
    let path = folder.join("users");
    let file = path.to_str().unwrap();
    let theirs = |args: &[&str]| ok(&run(program::installed("mosquitto_passwd"), args, ""));
    theirs(&["-c", "-b", file, "theirs", "one"]);
    theirs(&["-H", "sha512", "-b", file, "older", "two"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let made = text(&path);
    // A broker that did not take their lines would be warned of here.
    ok(&ours(&["-H", "sha512-pbkdf2", "-b", file, "ours", "three"], ""));
    assert!(text(&path).starts_with(&made));
    theirs(&["-b", file, "last", "four"]);
    theirs(&["-D", file, "older"]);
    let users: Vec<String> =
        text(&path).lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(users, ["theirs", "ours", "last"]);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn mosquitto_lets_in_whom_we_wrote_down() {
    let folder = folder("broker");
    let path = folder.join("users");
    let file = path.to_str().unwrap();
    ok(&ours(&["-c", "-H", "sha512-pbkdf2", "-I", "500", "-b", file, "alice", "one two"], ""));
    ok(&ours(&["-H", "sha512", "-b", file, "bob", "ümlaut"], ""));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let port = e2e::broker::free_port();
    let config = folder.join("mosquitto.conf");
    let lines =
        format!("listener {port} 127.0.0.1\npassword_file {file}\nallow_anonymous false\nuser root\n");
    fs::write(&config, lines).unwrap();
    let mosquitto = Path::new("/usr/sbin/mosquitto");
    let program = if mosquitto.exists() { mosquitto.to_owned() } else { program::installed("mosquitto") };
    let mut broker = Command::new(program).arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
    let publish = |user: &str, password: &str| {
        let args = ["pub", "-p", &port.to_string(), "-t", "a", "-n", "-u", user, "-P", password];
        run(program::iothub(), &args, "").status
    };
    let begun = std::time::Instant::now();
    while !publish("alice", "one two").success() {
        assert!(begun.elapsed() < e2e::PATIENCE, "mosquitto lets alice in");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (bob, wrong) = (publish("bob", "ümlaut"), publish("bob", "umlaut"));
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert!(bob.success() && !wrong.success(), "{bob:?} {wrong:?}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn plain_passwords_of_a_file_are_hashed_in_place() {
    let folder = folder("upgrade");
    let path = folder.join("users");
    fs::write(&path, "# staff\nalice:one\nbob:two\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    ok(&ours(&["-U", path.to_str().unwrap()], ""));
    let upgraded = text(&path);
    assert!(upgraded.starts_with("# staff\nalice:$argon2id$") && upgraded.contains("\nbob:$argon2id$"));
    assert!(!upgraded.contains(":one") && !upgraded.contains(":two"));
    ok(&ours(&["-U", path.to_str().unwrap()], ""));
    assert_eq!(text(&path), upgraded);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn keys_of_scram_are_made_changed_and_deleted() {
    let folder = folder("scram");
    let path = folder.join("keys");
    let file = path.to_str().unwrap();
    let scram = |args: &[&str], input: &str| run(program::iothub(), &[&["scram"], args].concat(), input);
    ok(&scram(&["-c", file, "alice"], "one\n"));
    ok(&scram(&["-b", "-H", "sha512", "-I", "5000", file, "alice", "one"], ""));
    let made = text(&path);
    let starts = ["alice:SCRAM-SHA-256$15000:", "alice:SCRAM-SHA-512$5000:"];
    assert!(
        made.lines().zip(starts).all(|(line, start)| line.starts_with(start)) && mode(&path) == 0o600,
        "{made}"
    );
    ok(&scram(&[file, "alice"], "two\n"));
    assert_eq!(text(&path).lines().nth(1), made.lines().nth(1));
    assert_ne!(text(&path).lines().next(), made.lines().next());
    ok(&scram(&["-D", file, "alice"], ""));
    assert_eq!(text(&path).lines().collect::<Vec<_>>(), [made.lines().nth(1).unwrap()]);
    fails(&scram(&["-D", file, "alice"], ""), "there is no key of user `alice` for SCRAM-SHA-256");
    fails(&scram(&["-I", "100", file, "bob"], "x"), "100 iterations are not between 4096 and 2000000");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn users_of_the_database_are_added_changed_listed_and_deleted() {
    let folder = folder("database");
    let path = folder.join("users.jsonl");
    let file = path.to_str().unwrap();
    let user = |args: &[&str], input: &str| run(program::iothub(), &[&["user"], args].concat(), input);
    let listed = || String::from_utf8(user(&["list", file], "").stdout).unwrap();
    fails(&user(&["add", file, "alice"], "one\n"), "-c begins one");
    ok(&user(&["add", "-c", file, "alice", "--role", "operator", "--role", "viewer", "--scram"], "one\n"));
    ok(&user(&["add", file, "bob", "--group", "plant"], "two\n"));
    assert_eq!(listed(), "alice\tSCRAM\troles: operator, viewer\nbob\tgroups: plant\n");
    assert_eq!((mode(&path), text(&path).matches("$argon2id$").count()), (0o600, 2));
    fails(&user(&["add", file, "bob"], "x\n"), "there is a user `bob` already");
    let before = text(&path);
    ok(&user(&["set", file, "bob", "--disable", "--group", ""], ""));
    ok(&user(&["set", file, "alice", "--password"], "three\n"));
    assert_eq!(listed(), "alice\troles: operator, viewer\nbob\tdisabled\n");
    assert_ne!(text(&path).lines().next(), before.lines().next());
    fails(&user(&["set", file, "alice", "--scram"], ""), "--scram needs --password");
    fails(&user(&["delete", file, "carol"], ""), "there is no user `carol`");
    ok(&user(&["delete", file, "alice"], ""));
    ok(&user(&["set", file, "bob", "--enable"], ""));
    assert_eq!(listed(), "bob\n");
    fs::remove_dir_all(folder).unwrap();
}
