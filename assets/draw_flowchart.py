"""Write assets/flowchart.svg: python assets/draw_flowchart.py"""

from pathlib import Path

from minillama.flowchart import picture

if __name__ == "__main__":
    (Path(__file__).parent / "flowchart.svg").write_text(picture(), encoding="utf-8")
