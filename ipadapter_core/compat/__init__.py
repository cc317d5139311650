"""The nodes of ComfyUI_IPAdapter_plus in terms of ours; where wanted, with the results they had there.

Behaviour is restated from measurements of 9d076a3 (2025-02-26); no code of it is here.
"""
