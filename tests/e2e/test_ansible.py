"""ansible at its work: the host's, outside the tree, with the tree's own python3 at the other end."""

import os
from pathlib import Path

import pytest
from offline.debian import Debian, debian
from workshop import Elsewhere, Workshop

from treesmith.errors import Error
from treesmith.store import create_store

PLAY = """\
- hosts: all
  roles: [greeter]
"""
TASKS = """\
- ansible.builtin.template: {src: greeting.j2, dest: /etc/greeting, mode: "0640", owner: daemon}
- ansible.builtin.command: id -u
  register: who
  tags: [late]
- ansible.builtin.copy: {content: "{{ who.stdout }}\\n", dest: /etc/who}
  tags: [late]
- ansible.builtin.shell: /usr/sbin/policy-rc.d x start; echo $? >/etc/policy
"""


@pytest.fixture(scope="module")
def repository() -> Debian:
    return debian()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ansible") / "store"
    create_store(str(path), "overlay")
    return path


@pytest.fixture
def shop(kept: Path, tmp_path: Path, repository: Debian) -> Workshop:
    shop = Workshop(create_store(str(kept)), tmp_path / "recipes", repository)
    play(shop.folder)
    return shop


def play(folder: Path) -> None:
    """The playbook, in a recipe's folder."""
    role = folder / "play/roles/greeter"
    for name, text in (
        ("tasks/main.yml", TASKS),
        ("templates/greeting.j2", "hello {{ whom }} of {{ ansible_system }}\n"),
    ):
        (role / name).parent.mkdir(parents=True)
        (role / name).write_text(text)
    (folder / "play/site.yml").write_text(PLAY)


BEFORE = '[[step]]\napt = ["python3-venv"]\n[[step]]\nnetwork = false\n'
STEP = f'{BEFORE}ansible = {{ playbook = "play/site.yml", vars = ["whom=me"] }}\n'


def test_a_playbook(shop: Workshop) -> None:
    tree = shop.make(STEP)
    assert shop.read(tree, "/etc/greeting") == "hello me of Linux\n"
    assert shop.read(tree, "/etc/who") == "0\n" and shop.read(tree, "/etc/policy") == "101\n"
    there = shop.entries(tree)
    assert (there["etc/greeting"].mode, there["etc/greeting"].uid) == (0o640, 1)
    assert not [path for path in there if "ansible" in path or path.startswith(("run/", "tmp/"))]
    assert "usr/sbin/policy-rc.d" not in there and tree.steps[-1]["made"]["driver"].startswith("ansible 2.")
    assert not list(Path(shop.store.path, "cache").glob("ansible-*/step"))
    shop.make(STEP)
    assert shop.verbs() == ["keep", "keep"]
    (shop.folder / "play/roles/greeter/templates/greeting.j2").write_text("bye\n")
    only = STEP.replace("vars", 'tags = ["late"], vars')
    tree = shop.make(only)
    assert shop.verbs() == ["keep", "make"] and "etc/greeting" not in shop.entries(tree)


def test_locked(tmp_path: Path, repository: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    both = Elsewhere(tmp_path, repository)
    play(both.here.folder)
    both.here.base()
    path = both.here.write(f'from = "./base-auto.toml"\n{STEP}', "app")
    both.here.build(path)
    both.lock(path)
    assert both.here.read(both.twice(path), "/etc/greeting") == "hello me of Linux\n"
    path.write_text(path.read_text().replace("network = false\n", ""))
    both.here.build(path)
    with pytest.raises(Error, match=r"ansible cannot be locked\na playbook may fetch anything"):
        both.lock(path)


def test_what_cannot_be_played(shop: Workshop) -> None:
    play = shop.folder / "play/site.yml"
    for text, says in (
        ("- hosts: all\n  tasks:\n  - command: sh -c 'echo no way >&2; exit 3'\n", "no way"),
        ("- hosts: web\n  tasks:\n  - command: 'true'\n", "no hosts matched"),
        ("- hosts: all\n  roles: [nosuch]\n", "nosuch"),
        ("- hosts: [\n", "YAML"),
    ):
        play.write_text(text)
        with pytest.raises(Error) as caught:
            shop.make(STEP, "fails")
        assert caught.value.brief.startswith("fails: step 2: ansible: ansible-playbook site.yml failed")
        assert says in caught.value.details and "fails" not in shop.store.names() and not shop.staged()
    with pytest.raises(Error, match="is not NAME=VALUE"):
        shop.make(STEP.replace("whom=me", "whom"))


def test_a_playbook_reaches_nothing_of_the_host(shop: Workshop, tmp_path: Path) -> None:
    """Ansible's own tasks run outside the tree if they are told to: in the sandbox, where the host is not."""
    secret = tmp_path / "secret"
    secret.write_text("of the host's")
    (shop.folder / "play/site.yml").write_text(f"""\
- hosts: all
  gather_facts: false
  tasks:
  - shell: |
      cat {secret} /etc/shadow
      touch /usr/bin/planted
      cat /proc/self/uid_map
    delegate_to: localhost
    connection: local
    register: seen
    failed_when: false
  - debug: {{var: seen.stdout}}
  - shell: touch /usr/bin/inside
""")
    tree = shop.make(STEP)
    said = "\n".join(shop.heard)
    assert "of the host's" not in said and "secret" not in said and not os.path.exists("/usr/bin/planted")
    assert "usr/bin/inside" in shop.entries(tree) and " 0 0 4294967295" not in " ".join(said.split())
