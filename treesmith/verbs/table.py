"""Every verb, declared. One that is not here does not exist."""

from treesmith.verbs.declare import Argument, Option, Verb

FAMILIES = ("Build", "Trees", "Run", "Store")

STORE = Option("store", "text", "The store to use (environment: TREESMITH_STORE).", metavar="DIR")
QUIET = Option("quiet", "flag", "Say nothing but errors.", short="q")
VERBOSE = Option("verbose", "flag", "Show every line of the tools, and tracebacks.", short="v")
VERSION = Option("version", "flag", "Print the version.")
GLOBALS = (STORE, QUIET, VERBOSE)  # VERSION too may stand anywhere, but no handler sees it

JSON = Option("json", "flag", "Print JSON.")
DRY_RUN = Option("dry-run", "flag", "Say what would be done, and do nothing.")
TREE = Argument("tree", "one", "NAME, NAME@N or @ID.", "trees")
CONTAINER = Argument("name", "one", "The container's name, or its tree's if that runs once.", "containers")

_ALL = (
    Verb(
        "build", "Build", "build", "Build trees from recipes.",
        Argument("recipes", "some", "A recipe's name, or a path with a / or ending in .toml.", "recipes"),
        Option("set", "many", "Set a variable of the recipe.", metavar="VAR=VALUE"),
        Option("name", "text", "Name the tree so, instead of after its recipe.", metavar="NAME"),
        Option("replace", "flag", "Take the name even from a tree that other values were set for."),
        Option("refresh", "flag", "Run again every step that nothing pins."),
        Option("max-age", "int", "Run again unpinned steps older than this.", metavar="DAYS"),
        Option("secret", "many", "Hand a secret to the steps that ask for it.", metavar="NAME=FILE|env:VAR"),
        Option("locked", "maybe", "Make exactly what the recipe's lock says, or another one.", metavar="[=FILE]"),
        Option("shell-on-failure", "flag", "Open a shell where a step failed."),
        DRY_RUN, Option("json", "flag", "With --dry-run: print JSON."),
        more='--dry-run --json: {"version": 1, "plans": [{"recipe", "tree", "actions": [{"verb", "recipe", '
        '"title", "reason", "tree"}]}]}; verb is keep, make or skip.',
    ),
    Verb(
        "recipes", "Build", "recipes", "List the recipes, or begin one.",
        Option("new", "text", "Write NAME.toml, a recipe to start from, into this folder.", metavar="NAME"),
        Option("from-dockerfile", "text", "Print a recipe that makes the same as a Dockerfile.", metavar="FILE"),
        Option("schema", "flag", "Print a JSON Schema of recipes, for editors."), JSON, store=False,
        more='--json: {"version": 1, "recipes": [{"name", "description", "from", "path", "error"}]}.',
    ),
    Verb(
        "lock", "Build", "lock", "Write down what a recipe's tree was made of, for build --locked.",
        Argument("recipe", "one", "A recipe's name, or a path with a / or ending in .toml.", "recipes"),
        Option("set", "many", "The values that the tree was built with.", metavar="VAR=VALUE"),
        Option("name", "text", "The tree, if it is not called after its recipe.", metavar="NAME"),
        Option("output", "text", "Write there, instead of NAME.lock beside the recipe.", metavar="FILE"),
        more="The tree must be built as the recipe is now. Nothing is fetched. SOURCE_DATE_EPOCH, or when the tree was "
        "built, is the time that nothing in a locked build is younger than.",
    ),
    Verb(
        "outdated", "Build", "outdated", "Show what building a tree anew would change.", TREE,
        Option("exit-code", "flag", "End with status 1 if there is anything."), JSON,
        more="Sources are asked as they are now, in a copy of the tree that goes afterwards. The exit status is 0; 1 "
        'on failure. --json: {"version": 1, "tree", "changes": [{"step", "package", "old", "new"}]}; package: null for '
        "what the step itself reads, where new says what changed; old: null for what would be new.",
    ),
    Verb(
        "sbom", "Build", "sbom", "List what a tree is made of, for other tools.", TREE,
        Option("format", "text", "cyclonedx, if nothing is said, or spdx; both as JSON.", metavar="NAME",
               complete=("cyclonedx", "spdx")),
        Option("output", "text", "Write there, instead of printing it.", metavar="FILE"),
        more="A software bill of materials: every package with its package URL, version, and the digest and source of "
        "its archive where they are known. CycloneDX 1.5, SPDX 2.3.",
    ),
    Verb(
        "history", "Build", "history", "Show how a tree came to be.", TREE,
        Option("log", "maybe", "Print the log of every step, or of one: its number or name.", metavar="[=STEP]"),
        Option("etc", "flag", "Show the commits of its /etc, which etckeeper keeps."), JSON,
        more='--json: {"version": 1, "tree", "id", "steps": [{"n", "recipe", "kind", "name", "created", '
        '"seconds", "bytes", "pinned", "tree", "key", "packages"}], "snapshots": [{"name", "id", "created"}]}; '
        "bytes: on disk, beside what was there before, null when unknown; packages: NAME -> version of those that are "
        "there since, null where the step's kind does not say. With --etc: {..., \"commits\": [{\"id\", \"created\", "
        '"author", "message"}]}, the newest first.',
    ),
    Verb(
        "ls", "Trees", "trees", "List the trees.",
        Option("all", "flag", "Unnamed ones too: the trees that steps left.", short="a"),
        Option("size", "flag", "Measure what each tree has to itself, and shares (slow)."), JSON,
        more='--json: {"version": 1, "trees": [{"name", "id", "kind", "sealed", "created", "parent", "from", "bytes", '
        '"shared_bytes", "damaged"}]}; created: seconds since 1970; bytes (what removing the tree would give back) and '
        "shared_bytes: null when unknown or not asked for; damaged: why a tree cannot be read, else null.",
    ),
    Verb(
        "show", "Trees", "show", "Show everything that is known of a tree.", TREE, JSON,
        more='--json: {"version": 1, "tree": RECORD}; the record is the tree\'s tree.json with its name and home.',
    ),
    Verb(
        "path", "Trees", "trees", "Print the path of a tree's root.", TREE,
        more="Mounts nothing: where a root is no plain directory this fails, and `treesmith mount` is the way.",
    ),
    Verb(
        "mount", "Trees", "mounts", "Mount a tree on the host.", TREE,
        Argument("dir", "maybe", "Where; a directory under /run/treesmith unless given."),
        more="Read-only for a sealed tree, and always nosuid and nodev. Nobody else may write to it until `umount`.",
    ),
    Verb(
        "umount", "Trees", "mounts", "Unmount a tree.",
        Argument("tree", "one", "The tree, or the directory it is mounted on.", "trees"),
    ),
    Verb(
        "snapshot", "Trees", "trees", "Make a writable copy of a tree.",
        Argument("source", "one", "The tree to copy: NAME, NAME@N or @ID.", "trees"),
        Argument("name", "one", "The copy's name."),
    ),
    Verb(
        "rename", "Trees", "trees", "Give a tree another name.",
        Argument("old", "one", "The tree.", "trees"), Argument("new", "one", "Its new name."),
    ),
    Verb(
        "rm", "Trees", "trees", "Remove trees.",
        Argument("trees", "some", "The trees.", "trees"),
        Option("recursive", "flag", "Everything that descends from them too.", short="r"), DRY_RUN,
    ),
    Verb("seal", "Trees", "trees", "Make a tree read-only for good.", TREE),
    Verb(
        "pin", "Trees", "trees", "Keep a tree from rm and prune.", TREE,
        Option("off", "flag", "Let it go again."),
    ),
    Verb(
        "launch", "Run", "launch", "Start a command in a tree.", TREE,
        Option("bind", "many", "Mount a host path inside; OPTION is ro, noidmap or suid.", metavar="SRC:DST[:OPTION]"),
        Option("overlay", "many", "Mount a host folder inside; what is written there is lost.", metavar="SRC:DST"),
        Option("tmpfs", "many", "Mount an empty folder that is kept in memory.", metavar="DST[:SIZE]"),
        Option("setenv", "many", "Set an environment variable.", metavar="NAME=VALUE"),
        Option("user", "text", "Run as this user of the tree.", metavar="USER[:GROUP]"),
        Option("chdir", "text", "Start in this directory of the tree.", metavar="DIR"),
        Option("hostname", "text", "The host name inside.", metavar="NAME"),
        Option("network", "text", "The network inside: none, one of its own, or the host's.",
               metavar="none|private|host", complete=("none", "private", "host")),
        Option("port", "many", "Let a port of the host lead to one of a private network.",
               metavar="[IP:]HOST:INSIDE[/udp]"),
        Option("boot", "flag", "Start the tree's init, a whole system; or the command as one.", short="b"),
        Option("notify", "flag", "It says itself when it is ready, by sd_notify(3)."),
        Option("link-journal", "flag", "Let the host's journalctl find its journal, that of a boot."),
        Option("detach", "flag", "Return when it runs, and print its name; see logs, stop, wait.", short="d"),
        Option("memory", "text", "Let it use this much memory at most.", metavar="SIZE"),
        Option("cpus", "text", "Let it use so many processors' time at most: 2, 0.5.", metavar="NUMBER"),
        Option("cpuset", "text", "Let it run on these processors only: 0-3,6.", metavar="LIST"),
        Option("pids", "text", "Let there be so many processes and threads at most.", metavar="NUMBER"),
        Option("io-weight", "text", "Its share of a busy disk, 1 to 1000; 100 is everybody's.", metavar="NUMBER"),
        Option("seccomp", "text", "Filter the system calls inside: on, or off, which is less safe.", metavar="on|off",
               complete=("on", "off")),
        Option("isolation", "text", "What is its own: all that has a namespace; or, for a plain user, as in a chroot.",
               metavar="namespaces|chroot", complete=("namespaces", "chroot")),
        Option("private-users", "text", "Ids inside that are nobody's outside; no: they are the host's, root's too.",
               metavar="yes|no", complete=("yes", "no")),
        Option("cap-add", "many", "Give the command one more capability.", metavar="NAME"),
        Option("cap-drop", "many", "Take a capability away, or all.", metavar="NAME|all"),
        Option("from-checkpoint", "flag", "Go on with what was frozen to disk, as it was; see checkpoint."),
        Option("ephemeral", "flag", "Run on a throw-away copy."),
        Option("read-only", "flag", "Let nothing in the tree be written."),
        Option("tty", "flag", "Use a terminal, whatever stdin and stdout are."),
        Option("pipe", "flag", "Use pipes, whatever stdin and stdout are."),
        Option("name", "text", "The container's name.", metavar="NAME"),
        more="Without a command: the tree's own, else a shell. A sealed tree runs on a throw-away copy. The exit "
        "status is the command's, 128+N when signal N ended it, and 125 when treesmith itself failed.",
        starts=True,
    ),
    Verb(
        "ps", "Run", "containers", "List what is running.",
        Option("usage", "flag", "Measure what each uses."), JSON,
        more='--json: {"version": 1, "containers": [{"name", "id", "tree", "pid", "started", "state", "command", '
        '"address", "ports", "memory", "cpu", "processes"}]}; pid: of the first process, on the host; started: seconds '
        "since 1970; state: starting, running or frozen; address: in a private network, or null; memory (bytes), cpu "
        "(microseconds) and processes: null when unknown or not asked for.",
    ),
    Verb(
        "enter", "Run", "launch", "Start a command in a running container.", CONTAINER,
        Option("setenv", "many", "Set an environment variable.", metavar="NAME=VALUE"),
        Option("user", "text", "Run as this user of the tree.", metavar="USER[:GROUP]"),
        Option("chdir", "text", "Start in this directory of the tree.", metavar="DIR"),
        Option("tty", "flag", "Use a terminal, whatever stdin and stdout are."),
        Option("pipe", "flag", "Use pipes, whatever stdin and stdout are."),
        more="Without a command: a shell. User, directory, environment and bounds are the container's own. The exit "
        "status is as launch's. The command dies with its caller; what it started in the background stays.",
        starts=True,
    ),
    Verb(
        "logs", "Run", "containers", "Print what a detached container has written.",
        Argument("name", "one", "The container's name, even if it has ended.", "containers"),
        Option("follow", "flag", "Go on until it ends.", short="f"),
    ),
    Verb(
        "stop", "Run", "containers", "Ask a container to end, then kill it.", CONTAINER,
        Option("signal", "text", "The signal that asks; the tree's own, or TERM, unless given.", metavar="SIGNAL"),
        Option("timeout", "int", "How long to wait before everything inside is killed (10).", metavar="SECONDS"),
        more="Returns when nothing of it is left and its tree can be used.",
    ),
    Verb(
        "wait", "Run", "containers", "Wait for the end of a container.", CONTAINER,
        more="Prints the exit status of its command: 128+N when signal N ended it. Of a detached one also later.",
    ),
    Verb("freeze", "Run", "containers", "Hold up everything in a container.", CONTAINER),
    Verb("thaw", "Run", "containers", "Let a frozen container go on.", CONTAINER),
    Verb(
        "checkpoint", "Run", "containers", "Freeze what runs in a container to disk, and end it.", CONTAINER,
        more="It lies beside its tree, to which nobody else may write until `launch --from-checkpoint TREE` goes on "
        "with it. Takes CRIU, and a kernel that it knows.",
    ),
    Verb(
        "init", "Store", "init", "Make a store, and say what keeps it and why.",
        Option("backend", "text", "The backend to use, instead of the first that works.", metavar="NAME"), JSON,
        more="Every backend is tried with the real operations on the filesystem at hand. The first command that needs "
        'a store does the same. --json: {"version": 1, "store", "backend", "made", "tried": [{"backend", "works", '
        '"why", "advice"}]}; made: false if it was there already; advice: what would make the backend work there.',
    ),
    Verb(
        "check", "Store", "check", "Look for damage in the store.",
        Option("repair", "flag", "Mend what can be mended, and put the rest that is damaged out of the way."),
        Option("dry-run", "flag", "With --repair: say what would be done, and do nothing."), JSON,
        more="Files are not read. --repair deletes nothing but links to nowhere and what dead writers left; what is "
        "damaged goes to quarantine/ in the store. The exit status is 1 when damage is found, or is left. "
        '--json: {"version": 1, "store", "trees", "damage": [{"what", "why", "advice", "repair", "done"}], "in_use", '
        '"quarantine"}; repair: what --repair does about it, done: that it did, trees and quarantine: how many.',
    ),
    Verb(
        "migrate", "Store", "migrate", "Move the store to another directory and backend.",
        Option("to", "text", "The backend that is to keep it, and a new directory.", metavar="BACKEND:DIR"), DRY_RUN,
        more="Names, lineage, labels, pins, keys and logs stay as they are, and so does what trees share. Nothing may "
        "run. When it is interrupted, the same command goes on. The store itself is left as it was.",
    ),
    Verb(
        "prune", "Store", "prune", "Remove what nothing needs any more.", DRY_RUN,
        Option("step-age", "int", "Keep steps that no tree is made of any more so long.", metavar="DAYS"),
        Option("step-budget", "int", "Keep the newest such steps up to this size.", metavar="MIB"),
        Option("keep-last", "int", "Of the snapshots of each tree, keep the newest N.", metavar="N"),
        Option("keep-hourly", "int", "Keep one for each of the last N hours that have any.", metavar="N"),
        Option("keep-daily", "int", "The same for days.", metavar="N"),
        Option("keep-weekly", "int", "The same for weeks.", metavar="N"),
        Option("keep-monthly", "int", "The same for months.", metavar="N"),
        Option("older-than", "int", "Remove snapshots, but only older ones.", metavar="DAYS"),
        Option("unused-for", "int", "Remove snapshots, but only those unused so long.", metavar="DAYS"), JSON,
        more="Snapshots are removed only where an option asks for it, and never one that is pinned, in use, or that "
        'another descends from. --json: {"version": 1, "removals": [{"what", "reason", "bytes", "tree"}], "bytes", '
        '"failed"}; bytes is null when unknown.',
    ),
    Verb(
        "du", "Store", "du", "Show how much trees take on disk.",
        Argument("trees", "any", "The trees; all that have a name, unless given.", "trees"),
        Option("all", "flag", "Those without a name too.", short="a"), JSON,
        more="own: what removing the tree alone would give back. shared: what others have too. apparent: what a plain "
        'copy would take. --json: {"version": 1, "trees": [{"name", "id", "exclusive", "shared", "apparent"}]}; bytes, '
        "null when unknown.",
    ),
    Verb(
        "doctor", "Store", "doctor", "Try what this machine can do.", JSON,
        more='--json: {"version": 1, "checks": [{"name", "state", "found", "advice"}]}; state is ok, no, warn or fail. '
        "The exit status is 1 when something that treesmith needs failed.",
        store=False,
    ),
)  # fmt: skip

_NO_SERVICE = ("detach", "tty", "pipe", "name", "from-checkpoint")


def _unit() -> Verb:
    """It takes what launch does, but for what makes no sense in a service."""
    launch = next(verb for verb in _ALL if verb.name == "launch")
    return Verb(
        "unit", "Run", "unit", "Print what makes a tree a service of this machine.", TREE,
        Option("sysv", "flag", "An init script, instead of a systemd unit."),
        *(option for option in launch.options if option.name not in _NO_SERVICE),
        more="For /etc/systemd/system/NAME.service, or /etc/init.d/NAME. The other options are launch's; of a unit, "
        "limits are its own.",
    )  # fmt: skip


VERBS: "dict[str, Verb]" = {verb.name: verb for verb in (*_ALL, _unit())}
