"""What names say of a machine's health."""

from __future__ import annotations

import pytest

from thrum.datasets.words import is_day, meaning


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(
            (name, "normal")
            for name in [
                "normal",
                "Normal",
                "normal_0",
                "ok",
                "OK_12",
                "good",
                "healthy",
                "baseline",
            ]
        ),
        *(
            (name, "normal")
            for name in ["fault-free", "faultless", "defect_free", "undamaged", "unbroken"]
        ),
        *(
            (name, "normal")
            for name in ["no fault", "not broken", "without damage", "free of faults"]
        ),
        *(
            (name, "normal")
            for name in [
                "gut",
                "Gutteile",
                "fehlerfrei",
                "i.O.",
                "iO",
                "unbeschädigt",
                "störungsfrei",
            ]
        ),
        *((name, "normal") for name in ["nicht defekt", "ohne Fehler", "sans défaut", "sin falla"]),
        *(
            (name, "normal")
            for name in ["senza difetti", "sem defeito", "zonder fout", "no_anomaly"]
        ),
        *(
            (name, "normal")
            for name in [
                "bon",
                "sain",
                "conforme",
                "bueno",
                "sano",
                "buono",
                "bom",
                "goed",
                "sprawny",
                "felfri",
            ]
        ),
        *(
            (name, "normal")
            for name in [
                "正常",
                "良品",
                "異常なし",
                "无异常",
                "合格",
                "정상",
                "이상없음",
                "исправный",
                "норма",
            ]
        ),
        *((name, "normal") for name in ["seijou", "zhengchang", "sağlam", "dobrý"]),
        *(
            (name, "anomaly")
            for name in [
                "anomaly",
                "Anomalies",
                "anomalous",
                "ABNORMAL_3",
                "bad",
                "NG",
                "ng_01",
                "nok",
            ]
        ),
        *(
            (name, "anomaly")
            for name in ["faulty_bearing", "bearing_fault", "BearingFault", "bearingfault"]
        ),
        *(
            (name, "anomaly")
            for name in ["broken_belt", "belt_torn", "leak", "worn", "cracked", "unhealthy", "KO"]
        ),
        *(
            (name, "anomaly")
            for name in ["not ok", "not_normal", "non-normal", "no good", "nicht ok"]
        ),
        *(
            (name, "anomaly")
            for name in [
                "defekt",
                "Lagerschaden",
                "kaputt",
                "fehlerhaft",
                "n.i.O.",
                "niO",
                "Unwucht",
            ]
        ),
        *(
            (name, "anomaly")
            for name in [
                "défaut",
                "panne",
                "anormal",
                "averiado",
                "fallo",
                "dañado",
                "guasto",
                "rotto",
            ]
        ),
        *((name, "anomaly") for name in ["non conforme", "no bueno", "niet goed", "nie sprawny"]),
        *(
            (name, "anomaly")
            for name in ["defeito", "quebrado", "kapot", "uszkodzony", "trasig", "arızalı", "bozuk"]
        ),
        *(
            (name, "anomaly")
            for name in ["異常", "不良", "故障", "不正常", "不合格", "비정상", "불량", "高温异常"]
        ),
        *(
            (name, "anomaly")
            for name in ["неисправный", "дефект", "ненормальный", "ijou", "furyou", "guzhang"]
        ),
        *(
            (name, "normal")
            for name in [
                *["gewöhnlich", "Gutzustand", "funktionsfähig", "mangelfrei", "buen estado"],
                *["operativa", "alineado", "OK品", "良", "定常", "ノーマル", "이상_없음", "합격"],
            ]
        ),
        *(
            (name, "anomaly")
            for name in [
                *["ungewöhnlich", "Riemenriss", "Lagerbruch", "mangelhaft", "funktionsunfähig"],
                *["Kavitation", "hors_service", "dysfonctionnement", "mal estado", "desalineado"],
                *["estropeada", "inoperativo", "out_of_order", "NG品", "否", "非定常", "軸受の傷"],
                *["ベアリング損傷", "불합격", "不平衡", "утечка"],
            ]
        ),
        *((name, None) for name in ["Umriss", "奈良", "改良", "hall", "general"]),
        *(
            (name, "unclear")
            for name in ["normal_vs_fault", "good bearing bad belt", "正常から異常"]
        ),
        *(
            (name, None)
            for name in ["pump", "fan_01", "default", "normalised", "recordings", "a", "section_00"]
        ),
        *(
            (name, None)
            for name in [
                "2026-03-01",
                "monday",
                "goods",
                "badger",
                "m-n_W",
                "take1",
                "Studio",
                "IO_module",
            ]
        ),
    ],
)
def test_what_a_name_says(name: str, wanted: str | None) -> None:
    assert meaning(name) == wanted


@pytest.mark.parametrize(
    "name",
    [
        *["2026-03-01", "20260301", "2026_03_01", "2026-03-01T12-30", "20260301_123000", "2026"],
        *["März", "février 2026", "Mar 2026", "2026年3月1日", "3日目"],
        *["session 1", "Sesión 2", "run3", "take_4", "Messung 5", "録音1"],
        *["2026-3", "01.03.2026", "260301", "day1", "Week_12", "KW12", "Monday", "mittwoch"],
    ],
)
def test_days(name: str) -> None:
    assert is_day(name)


@pytest.mark.parametrize(
    "name", ["1", "07", "id_00", "hall1", "m2026", "section_00", "press", "1234", "年", "runner"]
)
def test_what_is_no_day(name: str) -> None:
    assert not is_day(name)
