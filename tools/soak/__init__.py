"""A long run in a real ComfyUI server: does its memory stay where it was, and does each prompt give its own image again?"""
