"""`dfbench explain`: from the folder of a run to one page of evidence, or one line that says what is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from conftest import TINY, Cli

ATTACKS = [f"pgd(eps={eps}/255, steps=2)" for eps in (8, 16)] + ["fgsm(eps=8/255)", "unet(epochs=1)"]


@pytest.fixture(scope="module")
def run(faces: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose baseline was asked for last."""
    from dfbench.cli import run_cli

    out = tmp_path_factory.mktemp("run") / "out"
    arguments = [
        "--model", TINY, "--data", f'folder(path="{faces}", size=64)',
        "--defense", "pgd-at(epochs=1, batch_size=16, steps=1)", "--defense", "none(epochs=2, batch_size=16, lr=0.01)",
    ]  # fmt: skip
    attacks = [word for attack in ATTACKS for word in ("--attack", attack)]
    assert run_cli(["run", *arguments, *attacks, "--cache", str(shared_cache), "--out", str(out)]) == 0
    return out


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """The run in a folder that a test may damage."""
    pytest.importorskip("facenet_pytorch")
    return Path(shutil.copytree(run, tmp_path / "copied", ignore=shutil.ignore_patterns("explain")))


@pytest.fixture(scope="module")
def explained(run: Path, shared_cache: Path) -> Path:
    """The folder of the evidence that the command writes by default, attention alone."""
    pytest.importorskip("facenet_pytorch")
    from dfbench.cli import run_cli

    assert run_cli(["explain", str(run), *QUICK, "--cache", str(shared_cache)]) == 0
    return run / "explain"


QUICK = ["--only", "attention", "--samples", "4"]


def linked(page: str) -> list[str]:
    return [unquote(link) for link in re.findall(r'(?:src|href)="([^"]*)"', page)]


def test_the_page_links_every_figure_and_table_in_its_folder(explained: Path) -> None:
    links = linked((explained / "index.html").read_text())
    files = {path.name for path in explained.iterdir()} - {"index.html"}
    assert {"attention-mean.png", "attention.csv", "attention-maps.csv"} <= files
    assert set(links) == files


def test_every_image_of_the_page_has_a_text_in_its_place_and_a_caption(explained: Path) -> None:
    page = (explained / "index.html").read_text()
    texts = re.findall(r'<img [^>]*alt="([^"]+)"', page)
    captions = re.findall(r"<figcaption>([^<]+)</figcaption>", page)
    assert len(texts) == len(captions) == page.count("<img ")
    assert all(len(text) > 80 for text in captions)


def test_the_first_attack_of_each_kind_is_looked_at_and_the_others_are_named(explained: Path) -> None:
    table = pd.read_csv(explained / "attention.csv")
    seen = {attack.split(",")[0] for attack in table["attack"]}
    assert seen == {"none", "pgd(eps=8/255", "fgsm(eps=8/255)", "unet(eps=8/255"}
    page = unescape((explained / "index.html").read_text())
    assert "attacks left out: pgd(eps=16/255, steps=2)" in page


def test_the_baseline_comes_first_and_one_seed_is_taken(explained: Path) -> None:
    arms = pd.read_csv(explained / "attention.csv")["arm"].unique().tolist()
    assert [arm.split("(")[0] for arm in arms] == ["none", "pgd-at"]


def test_the_page_tells_what_was_left_out(explained: Path) -> None:
    page = (explained / "index.html").read_text()
    assert "mtcnn found no face in 8 of 8 images" in page
    assert not (explained / "attention-outside.png").exists()


@pytest.mark.slow
def test_without_only_the_page_has_all_evidence(dfbench: Cli, copied: Path, shared_cache: Path) -> None:
    assert dfbench("explain", copied, "--samples", 2, "--attack", "unet(epochs=1)", "--cache", shared_cache)[0] == 0
    page = (copied / "explain" / "index.html").read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == ["Curves", "Ablation", "Attention", "Frequency", "Attackers"]
    assert set(linked(page)) == {path.name for path in (copied / "explain").iterdir()} - {"index.html"}
    captions = re.findall(r"<figcaption>([^<]+)</figcaption>", page)
    assert len(captions) == page.count("<img ")
    assert all(len(caption) > 80 for caption in captions)


def test_an_attack_is_found_however_its_defaults_are_spelt(
    dfbench: Cli, run: Path, shared_cache: Path, tmp_path: Path
) -> None:
    arguments = ["--attack", "fgsm", "--out", tmp_path / "here", "--cache", shared_cache]
    code, out, _ = dfbench("explain", run, *QUICK, *arguments)
    assert code == 0
    assert str(tmp_path / "here" / "index.html") in out
    table = pd.read_csv(tmp_path / "here" / "attention.csv")
    assert set(table["attack"]) == {"none", "fgsm(eps=8/255)"}


def test_the_detectors_of_another_seed_can_be_asked_for(
    dfbench: Cli, copied: Path, explained: Path, shared_cache: Path
) -> None:
    record = json.loads((copied / "record.json").read_text())
    record["config"]["seeds"] = [0, 1]
    first, second = record["training"]  # seed 1 has the same checkpoints, exchanged
    record["training"] += [
        {**first, "seed": 1, "checkpoint": second["checkpoint"]},
        {**second, "seed": 1, "checkpoint": first["checkpoint"]},
    ]
    (copied / "record.json").write_text(json.dumps(record))
    assert dfbench("explain", copied, *QUICK, "--seed", 1, "--attack", "fgsm", "--cache", shared_cache)[0] == 0
    tables = [pd.read_csv(folder / "attention.csv") for folder in (explained, copied / "explain")]
    ours, theirs = [
        table[table["attack"] == "none"].groupby("arm", sort=False)["score"].apply(list).to_numpy() for table in tables
    ]
    assert ours.tolist() == theirs[::-1].tolist()
    assert ours[0] != ours[1]


def test_the_record_stands_for_its_folder(
    dfbench: Cli, run: Path, explained: Path, shared_cache: Path, tmp_path: Path
) -> None:
    arguments = ["--attack", "fgsm", "--out", tmp_path, "--cache", shared_cache]
    assert dfbench("explain", run / "record.json", *QUICK, *arguments)[0] == 0


def test_an_attack_without_an_attacker_of_its_own_is_left_out_by_default_and_an_error_by_name(
    dfbench: Cli, copied: Path, shared_cache: Path
) -> None:
    record = json.loads((copied / "record.json").read_text())
    record["attackers"] = []
    (copied / "record.json").write_text(json.dumps(record))
    code, out, _ = dfbench("explain", copied, *QUICK, "--samples", 1, "--cache", shared_cache)
    assert code == 0
    assert "note: the attack unet(eps=8/255, epochs=1) is left out" in out
    code, _, err = dfbench("explain", copied, *QUICK, "--attack", "unet(epochs=1)", "--cache", shared_cache)
    assert code == 1
    assert "holds no attacker 'unet(eps=8/255, epochs=1)'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "pgd(eps=16/255)"], "the attack 'pgd(eps=16/255)' is not in the run"),
        (["--attack", "pdg"], "unknown attack 'pdg': did you mean 'pgd'"),
        (["--data", "mini"], "the data set 'mini' is not in the run"),
        (["--seed", "7"], "the run has no seed 7: it has 0"),
        (["--detector", "mtcn"], "unknown detector 'mtcn': did you mean 'mtcnn'"),
        (["--only", "noses"], "'noses' is not one of 'curves', 'ablation', 'attention', 'frequency', 'attackers'"),
        (["--samples", "0"], "0 is not in the range x>=1"),
    ],
)
def test_what_the_run_does_not_have_is_one_line(
    dfbench: Cli, run: Path, shared_cache: Path, arguments: list[str], message: str
) -> None:
    found, _, err = dfbench("explain", run, "--cache", shared_cache, *arguments)
    assert found == 2
    assert message in err
    assert "Traceback" not in err


def test_a_folder_without_a_record_is_an_error(dfbench: Cli, tmp_path: Path) -> None:
    code, _, err = dfbench("explain", tmp_path)
    assert code == 2
    assert "give the output folder of a run" in err


def test_a_record_without_its_checkpoints_is_an_error(dfbench: Cli, copied: Path, shared_cache: Path) -> None:
    shutil.rmtree(copied / "checkpoints")
    code, _, err = dfbench("explain", copied, *QUICK, "--cache", shared_cache)
    assert code == 1
    assert f"{copied} holds no detector checkpoints/" in err
    assert "run again, with --out" in err


def test_a_damaged_checkpoint_is_an_error(dfbench: Cli, copied: Path, shared_cache: Path) -> None:
    for path in (copied / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:1000])
    code, _, err = dfbench("explain", copied, *QUICK, "--cache", shared_cache)
    assert code == 1
    assert "is truncated" in err


def test_without_matplotlib_nothing_is_computed(
    dfbench: Cli, copied: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    code, _, err = dfbench("explain", copied, *QUICK, "--cache", shared_cache)
    assert code == 2
    assert "pip install matplotlib" in err
    assert "attention" not in err
    assert not (copied / "explain").exists()


def test_a_folder_that_cannot_be_written_is_an_error_before_any_work(
    dfbench: Cli, run: Path, shared_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = dfbench("explain", run, *QUICK, "--out", tmp_path / "file" / "out", "--cache", shared_cache)
    assert code == 1
    assert err.count("\n") == 1
    assert "choose a folder you can write to with --out" in err


def test_names_in_the_record_cannot_become_markup(dfbench: Cli, copied: Path, shared_cache: Path) -> None:
    record = json.loads((copied / "record.json").read_text())
    record["command"] = "<script>alert(1)</script>"
    (copied / "record.json").write_text(json.dumps(record))
    assert dfbench("explain", copied, *QUICK, "--attack", "fgsm", "--cache", shared_cache)[0] == 0
    page = (copied / "explain" / "index.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_model_without_a_feature_map_is_told_of_other_evidence(dfbench: Cli, faces: Path, tmp_path: Path) -> None:
    data = f'folder(path="{faces}", size=64)'
    arguments = ["--model", "timm(name=test_vit, weights=none)", "--defense", "none(epochs=1, batch_size=24)"]
    cache = ["--cache", tmp_path / "cache"]
    assert dfbench("run", *arguments, "--data", data, "--out", tmp_path / "run", *cache)[0] == 0
    code, _, err = dfbench("explain", tmp_path / "run", *QUICK, *cache)
    assert code == 2
    assert "choose other evidence with --only frequency or --only attackers" in err


def test_help_imports_no_torch() -> None:
    program = (
        "import sys; from dfbench.cli import run_cli; run_cli(['explain', '--help']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "dfbench explain runs/demo" in done.stdout


def test_other_images_than_those_of_the_run_are_no_evidence(dfbench: Cli, copied: Path, shared_cache: Path) -> None:
    record = json.loads((copied / "record.json").read_text())
    for used in [*record["data"], *record["eval_data"]]:
        used["fingerprint"] = "0" * 64  # as if a file had been added to the folder since
    (copied / "record.json").write_text(json.dumps(record))
    code, _, err = dfbench("explain", copied, *QUICK, "--cache", shared_cache)
    assert code == 1
    assert "is no longer what the run" in err
